//! Making and letting go of what has a handle.

use std::sync::{Arc, Mutex};

use super::Channel;
use crate::describe::{self, Database, MessageOperation, Messaging, WebApplication};
use crate::handles::{self, NONE, Object};
use crate::links::read_link;
use crate::tracer::{Kind, Tracer};
use crate::{shield, state};

fn hold(object: Object) -> u64 {
    shield(|| {
        if state::spans().is_none() {
            return NONE;
        }
        let handle = handles::add(object);
        if handle == NONE {
            let most = handles::MAX_HANDLES;
            state::warn(&format!("{most} handles are in use, and no more are given out: something is never ended."));
        }
        handle
    })
}

fn hold_tracer(tracer: Tracer) -> u64 {
    hold(Object::Tracer(Arc::new(Mutex::new(tracer))))
}

fn release(handle: u64, is_kind: fn(&Object) -> bool) {
    shield(|| drop(handles::remove(handle, is_kind)));
}

fn no_handle(what: &str) -> u64 {
    if state::spans().is_some() {
        state::warn(&format!("A tracer was asked for with a handle that is of no {what}."));
    }
    NONE
}

fn described((kind, endpoint): Channel<'_>) -> describe::Channel {
    describe::Channel::new(kind, endpoint.to_owned())
}

/// Describes a database.
pub fn database(name: &str, vendor: &str, channel: Channel<'_>) -> u64 {
    if name.is_empty() {
        state::warn("A database has no name.");
    }
    let channel = described(channel);
    hold(Object::Database(Arc::new(Database { name: name.to_owned(), vendor: vendor.to_owned(), channel })))
}

/// Lets go of a database; its tracers go on.
pub fn delete_database(handle: u64) {
    release(handle, |object| matches!(object, Object::Database(_)));
}

/// Makes a tracer of a statement.
pub fn sql_request(database: u64, statement: &str) -> u64 {
    let Some(Object::Database(database)) = handles::get(database) else { return no_handle("database") };
    shield(|| hold_tracer(Tracer::new(Kind::Database, database.request(statement))))
}

/// Describes a web application.
pub fn web_application(virtual_host: &str, id: &str, context_root: &str) -> u64 {
    let (virtual_host, id, context_root) = (virtual_host.to_owned(), id.to_owned(), context_root.to_owned());
    hold(Object::WebApplication(Arc::new(WebApplication { virtual_host, id, context_root })))
}

/// Lets go of a web application; its tracers go on.
pub fn delete_web_application(handle: u64) {
    release(handle, |object| matches!(object, Object::WebApplication(_)));
}

/// Makes a tracer of a request that a web application serves.
pub fn incoming_web_request(application: u64, url: &str, method: &str) -> u64 {
    let Some(Object::WebApplication(application)) = handles::get(application) else {
        return no_handle("web application");
    };
    shield(|| hold_tracer(Tracer::new(Kind::IncomingWebRequest, application.request(url, method))))
}

/// Makes a tracer of a request that is sent.
pub fn outgoing_web_request(url: &str, method: &str) -> u64 {
    shield(|| hold_tracer(Tracer::new(Kind::OutgoingWebRequest, describe::outgoing_web_request(url, method))))
}

/// Makes a tracer of a call of another process.
pub fn outgoing_remote_call(method: &str, service: &str, endpoint: &str, channel: Channel<'_>) -> u64 {
    let draft = describe::outgoing_remote_call(method, service, endpoint, &described(channel));
    shield(|| hold_tracer(Tracer::new(Kind::OutgoingRemoteCall, draft)))
}

/// Makes a tracer of a call that another process made.
pub fn incoming_remote_call(method: &str, service: &str, endpoint: &str) -> u64 {
    let draft = describe::incoming_remote_call(method, service, endpoint);
    shield(|| hold_tracer(Tracer::new(Kind::IncomingRemoteCall, draft)))
}

/// Makes a tracer of a service's method.
pub fn custom_service(method: &str, service: &str) -> u64 {
    shield(|| hold_tracer(Tracer::new(Kind::CustomService, describe::custom_service(method, service))))
}

/// Describes a queue or topic.
pub fn messaging_system(vendor: &str, destination: &str, destination_type: i32, channel: Channel<'_>) -> u64 {
    let (vendor, destination) = (vendor.to_owned(), destination.to_owned());
    let channel = described(channel);
    hold(Object::Messaging(Arc::new(Messaging { vendor, destination, destination_type, channel })))
}

/// Lets go of a queue or topic; its tracers go on.
pub fn delete_messaging_system(handle: u64) {
    release(handle, |object| matches!(object, Object::Messaging(_)));
}

/// Makes a tracer of a message that is sent.
pub fn outgoing_message(system: u64) -> u64 {
    message(system, Kind::OutgoingMessage, MessageOperation::Send)
}

/// Makes a tracer of waiting for a message.
pub fn incoming_message_receive(system: u64) -> u64 {
    message(system, Kind::ReceiveMessage, MessageOperation::Receive)
}

/// Makes a tracer of what is done with a message that came.
pub fn incoming_message_process(system: u64) -> u64 {
    message(system, Kind::ProcessMessage, MessageOperation::Process)
}

fn message(system: u64, kind: Kind, operation: MessageOperation) -> u64 {
    let Some(Object::Messaging(system)) = handles::get(system) else { return no_handle("messaging system") };
    shield(|| hold_tracer(Tracer::new(kind, system.message(operation))))
}

/// Makes a tracer of what goes on at the other end of a link.
pub fn in_process_link_tracer(link: &[u8]) -> u64 {
    shield(|| match read_link(link) {
        Some(link) => hold_tracer(Tracer::linked(link)),
        None => {
            state::warn("An in-process link is empty, or was made by another process; nothing is traced.");
            NONE
        }
    })
}
