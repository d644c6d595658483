//! The SDK's functions, as Rust calls them: safe, with handles and texts. What C calls are these, in
//! [`crate::ffi`]; our own `oneagent` for Python calls them as well.
//!
//! Any number may be passed for a handle, in any order of calls; texts are to be cut to [`crate::MAX_SHORT`] or
//! [`crate::MAX_LONG`] characters. None of them panics.

mod create;
mod set;
mod tracer;

pub use create::{
    custom_service, database, delete_database, delete_messaging_system, delete_web_application, in_process_link_tracer,
    incoming_message_process, incoming_message_receive, incoming_remote_call, incoming_web_request, messaging_system,
    outgoing_message, outgoing_remote_call, outgoing_web_request, sql_request, web_application,
};
pub use set::{
    add_custom_attributes, add_incoming_request_headers, add_incoming_response_headers, add_outgoing_request_headers,
    add_outgoing_response_headers, add_parameters, set_incoming_protocol, set_incoming_status, set_outgoing_protocol,
    set_outgoing_status, set_processed_correlation_id, set_processed_message_id, set_remote_address,
    set_round_trip_count, set_row_count, set_sent_correlation_id, set_sent_message_id,
};
pub use tracer::{create_in_process_link, current_trace, end, fail, outgoing_tag, set_incoming_tag, start};

/// How something is reached: a number of the SDK's, and where.
pub type Channel<'a> = (i32, &'a str);

/// Names and values of headers, parameters or the like.
pub type Pairs = [(String, String)];
