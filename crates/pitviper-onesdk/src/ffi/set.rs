//! What tracers are told of their particulars.

use pitviper_model::Value;

use super::short;
use super::tracer::with;
use crate::describe::{self, Attribute};
use crate::text::Text;
use crate::tracer::{Kind, Tracer};

/// Works with a tracer of this kind.
fn of_kind(handle: u64, kind: Kind, work: impl FnOnce(&mut Tracer)) {
    with(handle, |tracer| {
        if tracer.kind() != kind {
            return Err("It is a tracer of another kind.");
        }
        work(tracer);
        Ok(())
    });
}

fn add(handle: u64, kind: Kind, key: &'static str, value: impl Into<Value>) {
    of_kind(handle, kind, |tracer| tracer.add(vec![(key.into(), value.into())]));
}

/// Adds a text, unless it is empty.
///
/// # Safety
///
/// As for all of this module.
unsafe fn add_text(handle: u64, kind: Kind, key: &'static str, text: *const Text) {
    // SAFETY: the text can be read.
    let text = unsafe { short(text) };
    if !text.is_empty() {
        add(handle, kind, key, text);
    }
}

fn described(pairs: &[(String, String)], describe: impl Fn(&str, &str) -> Attribute) -> Vec<Attribute> {
    pairs.iter().map(|(name, value)| describe(name, value)).collect()
}

/// Adds what headers or parameters say.
///
/// # Safety
///
/// As for all of this module.
unsafe fn add_pairs(
    handle: u64,
    kind: Kind,
    names: *const Text,
    values: *const Text,
    count: usize,
    describe: impl Fn(&str, &str) -> Attribute,
) {
    // SAFETY: both lists have so many.
    let pairs = unsafe { Text::read_pairs(names, values, count) };
    of_kind(handle, kind, |tracer| tracer.add(described(&pairs, describe)));
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaserequesttracer_set_returned_row_count(handle: u64, count: i32) {
    if count >= 0 {
        add(handle, Kind::Database, "db.response.returned_rows", i64::from(count));
    }
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaserequesttracer_set_round_trip_count(handle: u64, count: i32) {
    if count >= 0 {
        add(handle, Kind::Database, "db.client.round_trips", i64::from(count));
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingremotecalltracer_set_protocol_name_p(handle: u64, protocol: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::OutgoingRemoteCall, "rpc.system", protocol) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingremotecalltracer_set_protocol_name_p(handle: u64, protocol: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::IncomingRemoteCall, "rpc.system", protocol) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_request_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    let pairs = unsafe { Text::read_pairs(names, values, count) };
    of_kind(handle, Kind::IncomingWebRequest, |tracer| {
        if !tracer.has_tag() {
            tracer.read_context(&pairs);
        }
        tracer.add(described(&pairs, |name, value| describe::header("request", name, value)));
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_response_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    let describe = |name: &str, value: &str| describe::header("response", name, value);
    // SAFETY: both lists have so many.
    unsafe { add_pairs(handle, Kind::IncomingWebRequest, names, values, count, describe) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_add_parameters_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    // SAFETY: both lists have so many.
    unsafe { add_pairs(handle, Kind::IncomingWebRequest, names, values, count, describe::parameter) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_set_remote_address_p(handle: u64, address: *const Text) {
    // SAFETY: the text can be read.
    let address = unsafe { short(address) };
    let host = describe::host_of(&address);
    if !host.is_empty() {
        add(handle, Kind::IncomingWebRequest, "client.address", host);
    }
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingwebrequesttracer_set_status_code(handle: u64, code: i32) {
    of_kind(handle, Kind::IncomingWebRequest, |tracer| tracer.set_status_code(code));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_add_request_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    let describe = |name: &str, value: &str| describe::header("request", name, value);
    // SAFETY: both lists have so many.
    unsafe { add_pairs(handle, Kind::OutgoingWebRequest, names, values, count, describe) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_add_response_headers_p(
    handle: u64,
    names: *const Text,
    values: *const Text,
    count: usize,
) {
    let describe = |name: &str, value: &str| describe::header("response", name, value);
    // SAFETY: both lists have so many.
    unsafe { add_pairs(handle, Kind::OutgoingWebRequest, names, values, count, describe) };
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_outgoingwebrequesttracer_set_status_code(handle: u64, code: i32) {
    of_kind(handle, Kind::OutgoingWebRequest, |tracer| tracer.set_status_code(code));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingmessagetracer_set_vendor_message_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::OutgoingMessage, "messaging.message.id", id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingmessagetracer_set_correlation_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::OutgoingMessage, "messaging.message.conversation_id", id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingmessageprocesstracer_set_vendor_message_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::ProcessMessage, "messaging.message.id", id) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingmessageprocesstracer_set_correlation_id_p(handle: u64, id: *const Text) {
    // SAFETY: the text can be read.
    unsafe { add_text(handle, Kind::ProcessMessage, "messaging.message.conversation_id", id) };
}
