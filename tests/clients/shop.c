/* A program in C that is traced with the OneAgent SDK: `shop [--dt_...]` serves a request, and has a second process of
 * its own, `shop price TAG MESSAGE_TAG`, work for it. What the SDK says is printed. */
#include <onesdk/onesdk.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT onesdk_asciistr

static void told(char const* message) {
    printf("told: %s\n", message);
}

static void check(int ok, char const* what) {
    if (!ok) {
        printf("wrong: %s\n", what);
        exit(1);
    }
}

/* The string tag of a tracer, which the caller frees; the byte tag is asked for as well. */
static char* tag_of(onesdk_tracer_handle_t tracer) {
    onesdk_size_t size = 0;
    onesdk_size_t byte_size = 0;
    check(onesdk_tracer_get_outgoing_dynatrace_string_tag(tracer, NULL, 0, &size) == 0, "a tag without room");
    char* tag = malloc(size);
    check(onesdk_tracer_get_outgoing_dynatrace_string_tag(tracer, tag, size, NULL) == size - 1, "the tag's length");
    check(strlen(tag) == size - 1, "the tag's end");
    onesdk_tracer_get_outgoing_dynatrace_byte_tag(tracer, NULL, 0, &byte_size);
    check(byte_size > 0, "a byte tag");
    return tag;
}

/* What goes on in another thread. */
static void* later(void* link) {
    onesdk_tracer_handle_t const tracer = onesdk_inprocesslinktracer_create((char*)link + 1, *(unsigned char*)link);
    onesdk_tracer_start(tracer);
    onesdk_tracer_handle_t const work = onesdk_customservicetracer_create(TEXT("pack"), TEXT("Packing"));
    onesdk_tracer_start(work);
    onesdk_tracer_end(work);
    onesdk_tracer_end(tracer);
    return NULL;
}

static void in_another_thread(void) {
    /* The first byte is the length of what follows. */
    unsigned char link[256];
    onesdk_size_t size = 0;
    onesdk_inprocesslink_create(NULL, 0, &size);
    check(size > 0 && size < sizeof(link), "a link");
    link[0] = (unsigned char)onesdk_inprocesslink_create(link + 1, sizeof(link) - 1, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, later, link);
    pthread_join(thread, NULL);
}

static void query(void) {
    onesdk_databaseinfo_handle_t const database = onesdk_databaseinfo_create(
        TEXT("prices"), TEXT(ONESDK_DATABASE_VENDOR_POSTGRESQL), ONESDK_CHANNEL_TYPE_TCP_IP, TEXT("db.internal:5432"));
    onesdk_tracer_handle_t const tracer =
        onesdk_databaserequesttracer_create_sql(database, TEXT("SELECT price FROM item WHERE code = 'secret'"));
    onesdk_tracer_start(tracer);
    onesdk_databaserequesttracer_set_returned_row_count(tracer, 1);
    onesdk_databaserequesttracer_set_round_trip_count(tracer, 2);
    onesdk_tracer_end(tracer);
    onesdk_databaseinfo_delete(database);
}

/* The second process: a remote call that fails, and a message. */
static void price(char const* tag, char const* message_tag) {
    onesdk_tracer_handle_t const call =
        onesdk_incomingremotecalltracer_create(TEXT("price"), TEXT("Pricing"), TEXT("pricing.v1"));
    onesdk_incomingremotecalltracer_set_protocol_name(call, TEXT("pipe"));
    onesdk_tracer_set_incoming_dynatrace_string_tag(call, TEXT(tag));
    onesdk_tracer_start(call);
    query();
    onesdk_tracer_error(call, TEXT("PriceError"), onesdk_utf8str("no price f\xc3\xbcr it"));
    onesdk_tracer_end(call);

    onesdk_messagingsysteminfo_handle_t const queue = onesdk_messagingsysteminfo_create(
        TEXT(ONESDK_MESSAGING_VENDOR_RABBIT_MQ), TEXT("orders"), ONESDK_MESSAGING_DESTINATION_TYPE_QUEUE,
        ONESDK_CHANNEL_TYPE_OTHER, onesdk_nullstr());
    onesdk_tracer_handle_t const receive = onesdk_incomingmessagereceivetracer_create(queue);
    onesdk_tracer_start(receive);
    onesdk_tracer_handle_t const process = onesdk_incomingmessageprocesstracer_create(queue);
    onesdk_tracer_set_incoming_dynatrace_byte_tag(process, message_tag, strlen(message_tag));
    onesdk_incomingmessageprocesstracer_set_vendor_message_id(process, TEXT("m1"));
    onesdk_incomingmessageprocesstracer_set_correlation_id(process, TEXT("c1"));
    onesdk_tracer_start(process);
    onesdk_tracer_end(process);
    onesdk_tracer_end(receive);
    onesdk_messagingsysteminfo_delete(queue);
}

/* Has the second process work, with the tags of a call and of a message. */
static void call(char const* program) {
    onesdk_tracer_handle_t const tracer = onesdk_outgoingremotecalltracer_create(
        TEXT("price"), TEXT("Pricing"), TEXT("pricing.v1"), ONESDK_CHANNEL_TYPE_NAMED_PIPE, TEXT("pipe"));
    onesdk_outgoingremotecalltracer_set_protocol_name(tracer, TEXT("pipe"));
    onesdk_messagingsysteminfo_handle_t const queue = onesdk_messagingsysteminfo_create(
        TEXT(ONESDK_MESSAGING_VENDOR_RABBIT_MQ), TEXT("orders"), ONESDK_MESSAGING_DESTINATION_TYPE_QUEUE,
        ONESDK_CHANNEL_TYPE_OTHER, onesdk_nullstr());
    onesdk_tracer_handle_t const message = onesdk_outgoingmessagetracer_create(queue);
    onesdk_tracer_start(message);
    onesdk_outgoingmessagetracer_set_vendor_message_id(message, TEXT("m1"));
    onesdk_outgoingmessagetracer_set_correlation_id(message, TEXT("c1"));
    char* message_tag = tag_of(message);
    onesdk_tracer_end(message);
    onesdk_messagingsysteminfo_delete(queue);

    onesdk_tracer_start(tracer);
    char* tag = tag_of(tracer);
    fflush(stdout);
    if (fork() == 0) {
        execl(program, program, "price", tag, message_tag, (char*)NULL);
        _exit(1);
    }
    int status = 0;
    wait(&status);
    check(status == 0, "the second process");
    onesdk_tracer_end(tracer);
    free(tag);
    free(message_tag);
}

/* A child that traces what its parent began. */
static void in_a_child(void) {
    fflush(stdout);
    if (fork() == 0) {
        check(onesdk_agent_get_fork_state() == ONESDK_AGENT_FORK_STATE_PRE_INITIALIZED, "the child's state");
        onesdk_tracer_handle_t const work = onesdk_customservicetracer_create(TEXT("wrap"), TEXT("Wrapping"));
        onesdk_tracer_start(work);
        onesdk_tracer_end(work);
        check(onesdk_agent_get_fork_state() == ONESDK_AGENT_FORK_STATE_FULLY_INITIALIZED, "the child's state after");
        check(onesdk_shutdown() == ONESDK_SUCCESS, "the child's shutdown");
        _exit(0);
    }
    int status = 0;
    wait(&status);
    check(status == 0, "the child");
}

static void serve(char const* program) {
    onesdk_webapplicationinfo_handle_t const application =
        onesdk_webapplicationinfo_create(TEXT("shop.example:8080"), TEXT("Shop in C"), TEXT("/"));
    onesdk_tracer_handle_t const request =
        onesdk_incomingwebrequesttracer_create(application, TEXT("/buy?token=abc"), TEXT("POST"));
    onesdk_incomingwebrequesttracer_add_request_header(request, TEXT("Accept"), TEXT("text/html"));
    onesdk_incomingwebrequesttracer_set_remote_address(request, TEXT("192.0.2.7:4711"));
    onesdk_tracer_start(request);
    onesdk_incomingwebrequesttracer_add_parameter(request, TEXT("item"), TEXT("7"));
    onesdk_incomingwebrequesttracer_add_response_header(request, TEXT("Via"), TEXT("one"));
    onesdk_customrequestattribute_add_string(TEXT("user role"), TEXT("author"));
    onesdk_customrequestattribute_add_integer(TEXT("items"), 3);
    onesdk_customrequestattribute_add_float(TEXT("total"), 9.5);

    char trace_id[ONESDK_TRACE_ID_BUFFER_SIZE];
    char span_id[ONESDK_SPAN_ID_BUFFER_SIZE];
    check(
        onesdk_tracecontext_get_current(trace_id, sizeof(trace_id), span_id, sizeof(span_id)) == ONESDK_SUCCESS,
        "a trace context");
    printf("trace: %s %s\n", trace_id, span_id);
    char small[8] = "x";
    onesdk_tracecontext_get_current(small, sizeof(small), NULL, 0);
    check(small[0] == 0, "an id without room");

    call(program);
    in_another_thread();
    in_a_child();
    onesdk_tracer_handle_t const outgoing =
        onesdk_outgoingwebrequesttracer_create(TEXT("http://stock.example/left?item=7"), TEXT("GET"));
    onesdk_outgoingwebrequesttracer_add_request_header(outgoing, TEXT("Accept"), TEXT("*/*"));
    onesdk_tracer_start(outgoing);
    onesdk_outgoingwebrequesttracer_add_response_header(outgoing, TEXT("Via"), TEXT("two"));
    onesdk_outgoingwebrequesttracer_set_status_code(outgoing, 404);
    onesdk_tracer_end(outgoing);
    onesdk_incomingwebrequesttracer_set_status_code(request, 201);
    onesdk_tracer_end(request);
    onesdk_webapplicationinfo_delete(application);
}

int main(int argc, char** argv) {
    check(onesdk_agent_get_current_state() == ONESDK_AGENT_STATE_NOT_INITIALIZED, "the state at first");
    check(onesdk_stub_process_cmdline_args(argc, argv, 1) == ONESDK_SUCCESS, "options");
    check(onesdk_stub_strip_sdk_cmdline_args(&argc, argv) == ONESDK_SUCCESS, "options taken out");
    onesdk_stub_version_t version;
    onesdk_stub_get_version(&version);
    check(version.version_major == ONESDK_STUB_VERSION_MAJOR && version.version_minor == 7, "the version");
    check(onesdk_initialize_2(ONESDK_INIT_FLAG_FORKABLE) == ONESDK_SUCCESS, "initialization");
    check(onesdk_initialize() == ONESDK_SUCCESS, "initialization by another part");
    check(onesdk_shutdown() == ONESDK_SUCCESS, "shutdown by another part");
    onesdk_agent_set_warning_callback(told);
    onesdk_bool_t found = 0;
    onesdk_bool_t compatible = 0;
    onesdk_stub_get_agent_load_info(&found, &compatible);
    char why[200];
    onesdk_stub_xstrerror(ONESDK_ERROR_NO_DATA, why, sizeof(why));
    printf(
        "agent: %d %d %d %d %s %s\n", (int)found, (int)compatible, (int)onesdk_agent_get_current_state(),
        (int)onesdk_agent_get_fork_state(), onesdk_agent_get_version_string(), why);
    if (argc == 4) {
        price(argv[2], argv[3]);
        /* What was not sent yet is sent when the program ends. */
        return 0;
    }
    check(argc == 1, "the options are gone");
    serve(argv[0]);
    onesdk_tracer_end(4711);
    onesdk_tracer_start(4711);
    onesdk_customrequestattribute_add_integer(TEXT("lost"), 1);
    check(onesdk_shutdown() == ONESDK_SUCCESS, "shutdown");
    check(onesdk_shutdown() == ONESDK_ERROR_NOT_INITIALIZED, "a second shutdown");
    return 0;
}
