/* Tracers, and what concerns them. All functions may be called from any thread; a tracer belongs to the thread that
 * starts it, and ends there. */
#ifndef PITVIPER_ONESDK_AGENT_H
#define PITVIPER_ONESDK_AGENT_H

#include "onesdk/onesdk_common.h"
#include "onesdk/onesdk_string.h"

ONESDK_BEGIN_DECLS

/* States, and where messages go. */

onesdk_int32_t onesdk_agent_get_current_state(void);
onesdk_int32_t onesdk_agent_get_fork_state(void);
onesdk_xchar_t const* onesdk_agent_get_version_string(void);
/* What a call did not do, and why. NULL for nobody. */
onesdk_result_t onesdk_agent_set_warning_callback(onesdk_agent_logging_callback_t* callback);
/* The older name of it. */
onesdk_result_t onesdk_agent_set_logging_callback(onesdk_agent_logging_callback_t* callback);
onesdk_result_t onesdk_agent_set_verbose_callback(onesdk_agent_logging_callback_t* callback);

/* The ids of what is current, for logs. Zeros, and ONESDK_ERROR_NO_DATA, where nothing is traced. */
onesdk_result_t onesdk_tracecontext_get_current(
    char* trace_id_buffer, onesdk_size_t trace_id_buffer_size, char* span_id_buffer, onesdk_size_t span_id_buffer_size);

/* Any tracer. */

void onesdk_tracer_start(onesdk_tracer_handle_t tracer_handle);
/* Ends it and lets go of it, started or not. */
void onesdk_tracer_end(onesdk_tracer_handle_t tracer_handle);

/* Marks it as failed: once, between start and end. */
void onesdk_tracer_error_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* error_class, onesdk_string_t const* error_message);
static inline void onesdk_tracer_error(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t error_class, onesdk_string_t error_message) {
    onesdk_tracer_error_p(tracer_handle, &error_class, &error_message);
}

/* The tag for whom an outgoing tracer calls, between start and end. Writes it if there is room for it, with its end for
 * the string tag; says in required_buffer_size, unless that is NULL, how much room it needs; returns how many
 * characters or bytes were written, the end not counted. */
onesdk_size_t onesdk_tracer_get_outgoing_dynatrace_string_tag(
    onesdk_tracer_handle_t tracer_handle, char* buffer, onesdk_size_t buffer_size, onesdk_size_t* required_buffer_size);
onesdk_size_t onesdk_tracer_get_outgoing_dynatrace_byte_tag(
    onesdk_tracer_handle_t tracer_handle, void* buffer, onesdk_size_t buffer_size, onesdk_size_t* required_buffer_size);

/* The tag of who called an incoming tracer, before its start. */
void onesdk_tracer_set_incoming_dynatrace_string_tag_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* string_tag);
static inline void onesdk_tracer_set_incoming_dynatrace_string_tag(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t string_tag) {
    onesdk_tracer_set_incoming_dynatrace_string_tag_p(tracer_handle, &string_tag);
}

void onesdk_tracer_set_incoming_dynatrace_byte_tag(
    onesdk_tracer_handle_t tracer_handle, void const* byte_tag, onesdk_size_t byte_tag_size);

/* Calls of other processes. */

onesdk_tracer_handle_t onesdk_outgoingremotecalltracer_create_p(
    onesdk_string_t const* service_method, onesdk_string_t const* service_name, onesdk_string_t const* service_endpoint,
    onesdk_int32_t channel_type, onesdk_string_t const* channel_endpoint);
static inline onesdk_tracer_handle_t onesdk_outgoingremotecalltracer_create(
    onesdk_string_t service_method, onesdk_string_t service_name, onesdk_string_t service_endpoint,
    onesdk_int32_t channel_type, onesdk_string_t channel_endpoint) {
    return onesdk_outgoingremotecalltracer_create_p(
        &service_method, &service_name, &service_endpoint, channel_type, &channel_endpoint);
}

void onesdk_outgoingremotecalltracer_set_protocol_name_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* protocol_name);
static inline void onesdk_outgoingremotecalltracer_set_protocol_name(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t protocol_name) {
    onesdk_outgoingremotecalltracer_set_protocol_name_p(tracer_handle, &protocol_name);
}

onesdk_tracer_handle_t onesdk_incomingremotecalltracer_create_p(
    onesdk_string_t const* service_method, onesdk_string_t const* service_name,
    onesdk_string_t const* service_endpoint);
static inline onesdk_tracer_handle_t onesdk_incomingremotecalltracer_create(
    onesdk_string_t service_method, onesdk_string_t service_name, onesdk_string_t service_endpoint) {
    return onesdk_incomingremotecalltracer_create_p(&service_method, &service_name, &service_endpoint);
}

void onesdk_incomingremotecalltracer_set_protocol_name_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* protocol_name);
static inline void onesdk_incomingremotecalltracer_set_protocol_name(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t protocol_name) {
    onesdk_incomingremotecalltracer_set_protocol_name_p(tracer_handle, &protocol_name);
}

/* Databases. */

onesdk_databaseinfo_handle_t onesdk_databaseinfo_create_p(
    onesdk_string_t const* name, onesdk_string_t const* vendor, onesdk_int32_t channel_type,
    onesdk_string_t const* channel_endpoint);
static inline onesdk_databaseinfo_handle_t onesdk_databaseinfo_create(
    onesdk_string_t name, onesdk_string_t vendor, onesdk_int32_t channel_type, onesdk_string_t channel_endpoint) {
    return onesdk_databaseinfo_create_p(&name, &vendor, channel_type, &channel_endpoint);
}

void onesdk_databaseinfo_delete(onesdk_databaseinfo_handle_t databaseinfo_handle);

/* Recorded within another tracer only. */
onesdk_tracer_handle_t onesdk_databaserequesttracer_create_sql_p(
    onesdk_databaseinfo_handle_t databaseinfo_handle, onesdk_string_t const* statement);
static inline onesdk_tracer_handle_t onesdk_databaserequesttracer_create_sql(
    onesdk_databaseinfo_handle_t databaseinfo_handle, onesdk_string_t statement) {
    return onesdk_databaserequesttracer_create_sql_p(databaseinfo_handle, &statement);
}

/* At most once each, and not negative. */
void onesdk_databaserequesttracer_set_returned_row_count(
    onesdk_tracer_handle_t tracer_handle, onesdk_int32_t returned_row_count);
void onesdk_databaserequesttracer_set_round_trip_count(
    onesdk_tracer_handle_t tracer_handle, onesdk_int32_t round_trip_count);

/* Web applications, and requests that they serve. */

onesdk_webapplicationinfo_handle_t onesdk_webapplicationinfo_create_p(
    onesdk_string_t const* web_server_name, onesdk_string_t const* application_id, onesdk_string_t const* context_root);
static inline onesdk_webapplicationinfo_handle_t onesdk_webapplicationinfo_create(
    onesdk_string_t web_server_name, onesdk_string_t application_id, onesdk_string_t context_root) {
    return onesdk_webapplicationinfo_create_p(&web_server_name, &application_id, &context_root);
}

void onesdk_webapplicationinfo_delete(onesdk_webapplicationinfo_handle_t webapplicationinfo_handle);

onesdk_tracer_handle_t onesdk_incomingwebrequesttracer_create_p(
    onesdk_webapplicationinfo_handle_t webapplicationinfo_handle, onesdk_string_t const* url,
    onesdk_string_t const* method);
static inline onesdk_tracer_handle_t onesdk_incomingwebrequesttracer_create(
    onesdk_webapplicationinfo_handle_t webapplicationinfo_handle, onesdk_string_t url, onesdk_string_t method) {
    return onesdk_incomingwebrequesttracer_create_p(webapplicationinfo_handle, &url, &method);
}

/* Before the start. */
void onesdk_incomingwebrequesttracer_set_remote_address_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* remote_address);
static inline void onesdk_incomingwebrequesttracer_set_remote_address(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t remote_address) {
    onesdk_incomingwebrequesttracer_set_remote_address_p(tracer_handle, &remote_address);
}

void onesdk_incomingwebrequesttracer_add_request_headers_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* names, onesdk_string_t const* values,
    onesdk_size_t count);
static inline void onesdk_incomingwebrequesttracer_add_request_header(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t name, onesdk_string_t value) {
    onesdk_incomingwebrequesttracer_add_request_headers_p(tracer_handle, &name, &value, 1);
}

void onesdk_incomingwebrequesttracer_add_response_headers_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* names, onesdk_string_t const* values,
    onesdk_size_t count);
static inline void onesdk_incomingwebrequesttracer_add_response_header(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t name, onesdk_string_t value) {
    onesdk_incomingwebrequesttracer_add_response_headers_p(tracer_handle, &name, &value, 1);
}

void onesdk_incomingwebrequesttracer_add_parameters_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* names, onesdk_string_t const* values,
    onesdk_size_t count);
static inline void onesdk_incomingwebrequesttracer_add_parameter(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t name, onesdk_string_t value) {
    onesdk_incomingwebrequesttracer_add_parameters_p(tracer_handle, &name, &value, 1);
}

void onesdk_incomingwebrequesttracer_set_status_code(onesdk_tracer_handle_t tracer_handle, onesdk_int32_t status_code);

/* Requests that are sent. */

onesdk_tracer_handle_t onesdk_outgoingwebrequesttracer_create_p(
    onesdk_string_t const* url, onesdk_string_t const* method);
static inline onesdk_tracer_handle_t onesdk_outgoingwebrequesttracer_create(
    onesdk_string_t url, onesdk_string_t method) {
    return onesdk_outgoingwebrequesttracer_create_p(&url, &method);
}

void onesdk_outgoingwebrequesttracer_add_request_headers_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* names, onesdk_string_t const* values,
    onesdk_size_t count);
static inline void onesdk_outgoingwebrequesttracer_add_request_header(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t name, onesdk_string_t value) {
    onesdk_outgoingwebrequesttracer_add_request_headers_p(tracer_handle, &name, &value, 1);
}

void onesdk_outgoingwebrequesttracer_add_response_headers_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* names, onesdk_string_t const* values,
    onesdk_size_t count);
static inline void onesdk_outgoingwebrequesttracer_add_response_header(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t name, onesdk_string_t value) {
    onesdk_outgoingwebrequesttracer_add_response_headers_p(tracer_handle, &name, &value, 1);
}

void onesdk_outgoingwebrequesttracer_set_status_code(onesdk_tracer_handle_t tracer_handle, onesdk_int32_t status_code);

/* A method of a service that the program names. */

onesdk_tracer_handle_t onesdk_customservicetracer_create_p(
    onesdk_string_t const* service_method, onesdk_string_t const* service_name);
static inline onesdk_tracer_handle_t onesdk_customservicetracer_create(
    onesdk_string_t service_method, onesdk_string_t service_name) {
    return onesdk_customservicetracer_create_p(&service_method, &service_name);
}

/* What goes on in another thread or later, in the trace that was current when its link was made. A link counts in its
 * own process. Writes it as the tags above. */
onesdk_size_t onesdk_inprocesslink_create(void* buffer, onesdk_size_t buffer_size, onesdk_size_t* required_buffer_size);
onesdk_tracer_handle_t onesdk_inprocesslinktracer_create(
    void const* in_process_link, onesdk_size_t in_process_link_size);

/* Attributes of the request that is being served. */

void onesdk_customrequestattribute_add_integers_p(
    onesdk_string_t const* keys, onesdk_int64_t const* values, onesdk_size_t count);
static inline void onesdk_customrequestattribute_add_integer(onesdk_string_t key, onesdk_int64_t value) {
    onesdk_customrequestattribute_add_integers_p(&key, &value, 1);
}

void onesdk_customrequestattribute_add_floats_p(onesdk_string_t const* keys, double const* values, onesdk_size_t count);
static inline void onesdk_customrequestattribute_add_float(onesdk_string_t key, double value) {
    onesdk_customrequestattribute_add_floats_p(&key, &value, 1);
}

void onesdk_customrequestattribute_add_strings_p(
    onesdk_string_t const* keys, onesdk_string_t const* values, onesdk_size_t count);
static inline void onesdk_customrequestattribute_add_string(onesdk_string_t key, onesdk_string_t value) {
    onesdk_customrequestattribute_add_strings_p(&key, &value, 1);
}

/* Messages. */

onesdk_messagingsysteminfo_handle_t onesdk_messagingsysteminfo_create_p(
    onesdk_string_t const* vendor_name, onesdk_string_t const* destination_name, onesdk_int32_t destination_type,
    onesdk_int32_t channel_type, onesdk_string_t const* channel_endpoint);
static inline onesdk_messagingsysteminfo_handle_t onesdk_messagingsysteminfo_create(
    onesdk_string_t vendor_name, onesdk_string_t destination_name, onesdk_int32_t destination_type,
    onesdk_int32_t channel_type, onesdk_string_t channel_endpoint) {
    return onesdk_messagingsysteminfo_create_p(
        &vendor_name, &destination_name, destination_type, channel_type, &channel_endpoint);
}

void onesdk_messagingsysteminfo_delete(onesdk_messagingsysteminfo_handle_t messagingsysteminfo_handle);

onesdk_tracer_handle_t onesdk_outgoingmessagetracer_create(
    onesdk_messagingsysteminfo_handle_t messagingsysteminfo_handle);
onesdk_tracer_handle_t onesdk_incomingmessagereceivetracer_create(
    onesdk_messagingsysteminfo_handle_t messagingsysteminfo_handle);
onesdk_tracer_handle_t onesdk_incomingmessageprocesstracer_create(
    onesdk_messagingsysteminfo_handle_t messagingsysteminfo_handle);

void onesdk_outgoingmessagetracer_set_vendor_message_id_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* vendor_message_id);
static inline void onesdk_outgoingmessagetracer_set_vendor_message_id(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t vendor_message_id) {
    onesdk_outgoingmessagetracer_set_vendor_message_id_p(tracer_handle, &vendor_message_id);
}

void onesdk_outgoingmessagetracer_set_correlation_id_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* correlation_id);
static inline void onesdk_outgoingmessagetracer_set_correlation_id(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t correlation_id) {
    onesdk_outgoingmessagetracer_set_correlation_id_p(tracer_handle, &correlation_id);
}

void onesdk_incomingmessageprocesstracer_set_vendor_message_id_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* vendor_message_id);
static inline void onesdk_incomingmessageprocesstracer_set_vendor_message_id(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t vendor_message_id) {
    onesdk_incomingmessageprocesstracer_set_vendor_message_id_p(tracer_handle, &vendor_message_id);
}

void onesdk_incomingmessageprocesstracer_set_correlation_id_p(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t const* correlation_id);
static inline void onesdk_incomingmessageprocesstracer_set_correlation_id(
    onesdk_tracer_handle_t tracer_handle, onesdk_string_t correlation_id) {
    onesdk_incomingmessageprocesstracer_set_correlation_id_p(tracer_handle, &correlation_id);
}

ONESDK_END_DECLS

#endif
