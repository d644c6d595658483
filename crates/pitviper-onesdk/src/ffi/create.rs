//! Making and letting go of what has a handle.

use super::{long, short};
use crate::calls;
use crate::handles::NONE;
use crate::text::Text;

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_databaseinfo_create_p(
    name: *const Text,
    vendor: *const Text,
    channel_type: i32,
    channel_endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (name, vendor, endpoint) = unsafe { (short(name), short(vendor), short(channel_endpoint)) };
    calls::database(&name, &vendor, (channel_type, &endpoint))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_databaseinfo_delete(handle: u64) {
    calls::delete_database(handle);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_databaserequesttracer_create_sql_p(database: u64, statement: *const Text) -> u64 {
    // SAFETY: the text can be read.
    calls::sql_request(database, &unsafe { long(statement) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_webapplicationinfo_create_p(
    virtual_host: *const Text,
    id: *const Text,
    context_root: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (virtual_host, id, context_root) = unsafe { (short(virtual_host), short(id), short(context_root)) };
    calls::web_application(&virtual_host, &id, &context_root)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_webapplicationinfo_delete(handle: u64) {
    calls::delete_web_application(handle);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingwebrequesttracer_create_p(
    application: u64,
    url: *const Text,
    method: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (url, method) = unsafe { (long(url), short(method)) };
    calls::incoming_web_request(application, &url, &method)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_outgoingwebrequesttracer_create_p(url: *const Text, method: *const Text) -> u64 {
    // SAFETY: the texts can be read.
    let (url, method) = unsafe { (long(url), short(method)) };
    calls::outgoing_web_request(&url, &method)
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
    let channel_endpoint = unsafe { short(channel_endpoint) };
    calls::outgoing_remote_call(&method, &service, &endpoint, (channel_type, &channel_endpoint))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_incomingremotecalltracer_create_p(
    method: *const Text,
    service: *const Text,
    endpoint: *const Text,
) -> u64 {
    // SAFETY: the texts can be read.
    let (method, service, endpoint) = unsafe { (short(method), short(service), short(endpoint)) };
    calls::incoming_remote_call(&method, &service, &endpoint)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_customservicetracer_create_p(method: *const Text, service: *const Text) -> u64 {
    // SAFETY: the texts can be read.
    let (method, service) = unsafe { (short(method), short(service)) };
    calls::custom_service(&method, &service)
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
    calls::messaging_system(&vendor, &destination, destination_type, (channel_type, &endpoint))
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_messagingsysteminfo_delete(handle: u64) {
    calls::delete_messaging_system(handle);
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_outgoingmessagetracer_create(system: u64) -> u64 {
    calls::outgoing_message(system)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingmessagereceivetracer_create(system: u64) -> u64 {
    calls::incoming_message_receive(system)
}

#[unsafe(no_mangle)]
extern "C" fn onesdk_incomingmessageprocesstracer_create(system: u64) -> u64 {
    calls::incoming_message_process(system)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn onesdk_inprocesslinktracer_create(link: *const u8, size: usize) -> u64 {
    if link.is_null() {
        return NONE;
    }
    // SAFETY: it is not null and has that size.
    calls::in_process_link_tracer(unsafe { std::slice::from_raw_parts(link, size) })
}
