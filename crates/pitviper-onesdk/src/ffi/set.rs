//! What tracers, and the request that is being served, are told of their particulars.

use pitviper_model::Value;

use super::short;
use crate::calls::{self, Pairs};
use crate::text::Text;

/// Hands on a text.
///
/// # Safety
///
/// As for all of this module.
unsafe fn pass_text(handle: u64, text: *const Text, set: fn(u64, &str)) {
    // SAFETY: the text can be read.
    set(handle, &unsafe { short(text) });
}

/// Hands on the pairs of two lists.
///
/// # Safety
///
/// As for all of this module.
unsafe fn pass_pairs(handle: u64, names: *const Text, values: *const Text, count: usize, add: fn(u64, &Pairs)) {
    // SAFETY: both lists have so many.
    add(handle, &unsafe { Text::read_pairs(names, values, count) });
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaserequesttracer_set_returned_row_count(handle: u64, count: i32) {
    calls::set_row_count(handle, count);
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaserequesttracer_set_round_trip_count(handle: u64, count: i32) {
    calls::set_round_trip_count(handle, count);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingremotecalltracer_set_protocol_name_p(handle: u64, protocol: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, protocol, calls::set_outgoing_protocol) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingremotecalltracer_set_protocol_name_p(handle: u64, protocol: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, protocol, calls::set_incoming_protocol) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_request_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { pass_pairs(handle, names, values, count, calls::add_incoming_request_headers) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_response_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { pass_pairs(handle, names, values, count, calls::add_incoming_response_headers) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_parameters_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { pass_pairs(handle, names, values, count, calls::add_parameters) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_set_remote_address_p(handle: u64, address: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, address, calls::set_remote_address) };
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingwebrequesttracer_set_status_code(handle: u64, code: i32) {
    calls::set_incoming_status(handle, code);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_add_request_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { pass_pairs(handle, names, values, count, calls::add_outgoing_request_headers) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_add_response_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { pass_pairs(handle, names, values, count, calls::add_outgoing_response_headers) };
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_outgoingwebrequesttracer_set_status_code(handle: u64, code: i32) {
    calls::set_outgoing_status(handle, code);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingmessagetracer_set_vendor_message_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, id, calls::set_sent_message_id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingmessagetracer_set_correlation_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, id, calls::set_sent_correlation_id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingmessageprocesstracer_set_vendor_message_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, id, calls::set_processed_message_id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingmessageprocesstracer_set_correlation_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { pass_text(handle, id, calls::set_processed_correlation_id) };
}

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
    calls::add_custom_attributes((0..count).filter_map(pair).collect());
}
