//! Making and letting go of what has a handle.

use std::sync::{Arc, Mutex};

use super::short;
use crate::describe::{self, Channel, Database, MessageOperation, Messaging, WebApplication};
use crate::handles::{self, NONE, Object};
use crate::links::read_link;
use crate::text::{MAX_LONG, Text};
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

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_databaseinfo_create_p(
    name: *const Text,
    vendor: *const Text,
    channel_type: i32,
    channel_endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (name, vendor, endpoint) = unsafe { (short(name), short(vendor), short(channel_endpoint)) };
    if name.is_empty() {
        state::warn("A database has no name.");
    }
    let channel = Channel::new(channel_type, endpoint);
    hold(Object::Database(Arc::new(Database { name, vendor, channel })))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaseinfo_delete(handle: u64) {
    release(handle, |object| matches!(object, Object::Database(_)));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_databaserequesttracer_create_sql_p(database: u64, statement: *const Text) -> u64 {
    let Some(Object::Database(database)) = handles::get(database) else { return no_handle("database") };
    // SAFETY: the text can be read.
    let statement = unsafe { Text::read(statement, MAX_LONG) }.unwrap_or_default();
    shield(|| hold_tracer(Tracer::new(Kind::Database, database.request(&statement))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_webapplicationinfo_create_p(
    virtual_host: *const Text,
    id: *const Text,
    context_root: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (virtual_host, id, context_root) = unsafe { (short(virtual_host), short(id), short(context_root)) };
    hold(Object::WebApplication(Arc::new(WebApplication { virtual_host, id, context_root })))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_webapplicationinfo_delete(handle: u64) {
    release(handle, |object| matches!(object, Object::WebApplication(_)));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_create_p(
    application: u64,
    url: *const Text,
    method: *const Text,
) -> u64 {
    let Some(Object::WebApplication(application)) = handles::get(application) else {
        return no_handle("web application");
    };
    // SAFETY: the texts can be read.
    let (url, method) = unsafe { (Text::read(url, MAX_LONG).unwrap_or_default(), short(method)) };
    shield(|| hold_tracer(Tracer::new(Kind::IncomingWebRequest, application.request(&url, &method))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_create_p(url: *const Text, method: *const Text) -> u64 {
    // SAFETY: the texts can be read.
    let (url, method) = unsafe { (Text::read(url, MAX_LONG).unwrap_or_default(), short(method)) };
    shield(|| hold_tracer(Tracer::new(Kind::OutgoingWebRequest, describe::outgoing_web_request(&url, &method))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingremotecalltracer_create_p(
    method: *const Text,
    service: *const Text,
    endpoint: *const Text,
    channel_type: i32,
    channel_endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (method, service, endpoint) = unsafe { (short(method), short(service), short(endpoint)) };
    // SAFETY: so can this.
    let channel = Channel::new(channel_type, unsafe { short(channel_endpoint) });
    let draft = describe::outgoing_remote_call(&method, &service, &endpoint, &channel);
    shield(|| hold_tracer(Tracer::new(Kind::OutgoingRemoteCall, draft)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingremotecalltracer_create_p(
    method: *const Text,
    service: *const Text,
    endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (method, service, endpoint) = unsafe { (short(method), short(service), short(endpoint)) };
    let draft = describe::incoming_remote_call(&method, &service, &endpoint);
    shield(|| hold_tracer(Tracer::new(Kind::IncomingRemoteCall, draft)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_customservicetracer_create_p(method: *const Text, service: *const Text) -> u64 {
    // SAFETY: the texts can be read.
    let (method, service) = unsafe { (short(method), short(service)) };
    shield(|| hold_tracer(Tracer::new(Kind::CustomService, describe::custom_service(&method, &service))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_messagingsysteminfo_create_p(
    vendor: *const Text,
    destination: *const Text,
    destination_type: i32,
    channel_type: i32,
    channel_endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (vendor, destination, endpoint) = unsafe { (short(vendor), short(destination), short(channel_endpoint)) };
    let channel = Channel::new(channel_type, endpoint);
    hold(Object::Messaging(Arc::new(Messaging { vendor, destination, destination_type, channel })))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_messagingsysteminfo_delete(handle: u64) {
    release(handle, |object| matches!(object, Object::Messaging(_)));
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_outgoingmessagetracer_create(system: u64) -> u64 {
    message(system, Kind::OutgoingMessage, MessageOperation::Send)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingmessagereceivetracer_create(system: u64) -> u64 {
    message(system, Kind::ReceiveMessage, MessageOperation::Receive)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingmessageprocesstracer_create(system: u64) -> u64 {
    message(system, Kind::ProcessMessage, MessageOperation::Process)
}

fn message(system: u64, kind: Kind, operation: MessageOperation) -> u64 {
    let Some(Object::Messaging(system)) = handles::get(system) else { return no_handle("messaging system") };
    shield(|| hold_tracer(Tracer::new(kind, system.message(operation))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_inprocesslinktracer_create(link: *const u8, size: usize) -> u64 {
    if link.is_null() {
        return NONE;
    }
    // SAFETY: it is not null and has that size.
    let link = unsafe { std::slice::from_raw_parts(link, size) };
    shield(|| match read_link(link) {
        Some(link) => hold_tracer(Tracer::linked(link)),
        None => {
            state::warn("An in-process link is empty, or was made by another process; nothing is traced.");
            NONE
        }
    })
}
