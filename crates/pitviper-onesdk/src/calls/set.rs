//! What tracers, and the request that is being served, are told of their particulars.

use pitviper_model::Value;

use super::Pairs;
use super::tracer::with;
use crate::describe::{self, Attribute};
use crate::tracer::{Kind, Tracer};
use crate::{shield, state};

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
fn add_text(handle: u64, kind: Kind, key: &'static str, text: &str) {
    if !text.is_empty() {
        add(handle, kind, key, text);
    }
}

fn add_count(handle: u64, key: &'static str, count: i32) {
    if count >= 0 {
        add(handle, Kind::Database, key, i64::from(count));
    }
}

/// Adds what headers or parameters say.
fn add_pairs(handle: u64, kind: Kind, pairs: &Pairs, describe: impl Fn(&str, &str) -> Attribute) {
    let described = pairs.iter().map(|(name, value)| describe(name, value)).collect();
    of_kind(handle, kind, |tracer| tracer.add(described));
}

/// How many rows a statement returned.
pub fn set_row_count(handle: u64, count: i32) {
    add_count(handle, "db.response.returned_rows", count);
}

/// How often a statement's client asked the server.
pub fn set_round_trip_count(handle: u64, count: i32) {
    add_count(handle, "db.client.round_trips", count);
}

/// The protocol of a call of another process.
pub fn set_outgoing_protocol(handle: u64, protocol: &str) {
    add_text(handle, Kind::OutgoingRemoteCall, "rpc.system", protocol);
}

/// The protocol of a call that another process made.
pub fn set_incoming_protocol(handle: u64, protocol: &str) {
    add_text(handle, Kind::IncomingRemoteCall, "rpc.system", protocol);
}

/// Headers that came with a request; before the start they may say which trace goes on.
pub fn add_incoming_request_headers(handle: u64, pairs: &Pairs) {
    of_kind(handle, Kind::IncomingWebRequest, |tracer| {
        if !tracer.has_tag() {
            tracer.read_context(pairs);
        }
        tracer.add(pairs.iter().map(|(name, value)| describe::header("request", name, value)).collect());
    });
}

/// Headers of the answer to a request that came.
pub fn add_incoming_response_headers(handle: u64, pairs: &Pairs) {
    add_pairs(handle, Kind::IncomingWebRequest, pairs, |name, value| describe::header("response", name, value));
}

/// Parameters of a request that came, such as a form's.
pub fn add_parameters(handle: u64, pairs: &Pairs) {
    add_pairs(handle, Kind::IncomingWebRequest, pairs, describe::parameter);
}

/// Who sent a request; a port is left out.
pub fn set_remote_address(handle: u64, address: &str) {
    add_text(handle, Kind::IncomingWebRequest, "client.address", describe::host_of(address));
}

/// The status of the answer to a request that came.
pub fn set_incoming_status(handle: u64, code: i32) {
    of_kind(handle, Kind::IncomingWebRequest, |tracer| tracer.set_status_code(code));
}

/// Headers that are sent with a request.
pub fn add_outgoing_request_headers(handle: u64, pairs: &Pairs) {
    add_pairs(handle, Kind::OutgoingWebRequest, pairs, |name, value| describe::header("request", name, value));
}

/// Headers of the answer to a request that was sent.
pub fn add_outgoing_response_headers(handle: u64, pairs: &Pairs) {
    add_pairs(handle, Kind::OutgoingWebRequest, pairs, |name, value| describe::header("response", name, value));
}

/// The status of the answer to a request that was sent.
pub fn set_outgoing_status(handle: u64, code: i32) {
    of_kind(handle, Kind::OutgoingWebRequest, |tracer| tracer.set_status_code(code));
}

/// The id that the messaging system gave a message that was sent.
pub fn set_sent_message_id(handle: u64, id: &str) {
    add_text(handle, Kind::OutgoingMessage, "messaging.message.id", id);
}

/// The id that the application gave a message that was sent.
pub fn set_sent_correlation_id(handle: u64, id: &str) {
    add_text(handle, Kind::OutgoingMessage, "messaging.message.conversation_id", id);
}

/// The id that the messaging system gave a message that came.
pub fn set_processed_message_id(handle: u64, id: &str) {
    add_text(handle, Kind::ProcessMessage, "messaging.message.id", id);
}

/// The id that the application gave a message that came.
pub fn set_processed_correlation_id(handle: u64, id: &str) {
    add_text(handle, Kind::ProcessMessage, "messaging.message.conversation_id", id);
}

/// Gives the request that is being served attributes; those without a key are left out.
pub fn add_custom_attributes(mut attributes: Vec<(String, Value)>) {
    attributes.retain(|(key, _)| !key.is_empty());
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
