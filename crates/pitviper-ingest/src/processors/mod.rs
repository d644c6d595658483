//! What happens to every item, whatever protocol it came by.

pub(crate) mod exceptions;
pub(crate) mod normalize;
pub(crate) mod profiles;
pub(crate) mod red;
pub(crate) mod rows;
pub(crate) mod validate;
