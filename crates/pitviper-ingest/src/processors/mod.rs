//! What happens to every span, whatever protocol it came by.

pub(crate) mod normalize;
pub(crate) mod red;
pub(crate) mod validate;
