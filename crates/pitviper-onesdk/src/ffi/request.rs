//! Attributes that the application gives the request it is serving.

use pitviper_model::Value;

use super::short;
use crate::text::Text;
use crate::{shield, state};

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_customrequestattribute_add_integers_p(keys: *const Text, values: *const i64, count: usize) {
    // SAFETY: both lists have so many.
    unsafe { add_attributes(keys, count, |at| values.as_ref().map(|_| Value::Int(*values.add(at)))) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_customrequestattribute_add_floats_p(keys: *const Text, values: *const f64, count: usize) {
    // SAFETY: both lists have so many.
    unsafe { add_attributes(keys, count, |at| values.as_ref().map(|_| Value::Double(*values.add(at)))) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_customrequestattribute_add_strings_p(keys: *const Text, values: *const Text, count: usize) {
    // SAFETY: both lists have so many.
    unsafe { add_attributes(keys, count, |at| values.as_ref().map(|_| Value::from(short(values.add(at))))) };
}

/// Gives the request that is being served attributes.
///
/// # Safety
///
/// As for all of this module; `value` is asked for numbers below the count.
unsafe fn add_attributes(keys: *const Text, count: usize, value: impl Fn(usize) -> Option<Value>) {
    if keys.is_null() {
        return;
    }
    // SAFETY: there are so many keys.
    let pair = |at| Some((unsafe { short(keys.add(at)) }, value(at)?));
    let attributes: Vec<(String, Value)> = (0..count).filter_map(pair).filter(|(key, _)| !key.is_empty()).collect();
    let set = |span: &mut pitviper_agent::Span| {
        attributes.iter().for_each(|(key, value)| span.set_value(key, value.clone()));
    };
    shield(|| {
        let Some(spans) = state::spans() else { return };
        if !spans.change_request(&mut { set }) {
            state::warn("A custom request attribute was added where nothing is traced, and is lost.");
        }
    });
}
