"""What the OneAgent SDK's API answers, as JSON: runs with the package from PyPI and with ours, and both answer alike."""

# Blocks nest as tracers do.
# ruff: noqa: SIM117

import json
import logging
import os
import sys

import oneagent
import oneagent.common
import oneagent.sdk
import oneagent.sdk.tracers
import oneagent.version

answers = {}


def tell(name, value):
    """Notes an answer."""
    answers[name] = value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else repr(value)


def raised(call, *arguments):
    """What a call raises: the names of what the exception is, and its text."""
    try:
        return call(*arguments)
    except BaseException as error:
        return [*(kind.__name__ for kind in type(error).__mro__), str(error), [repr(given) for given in error.args]]


def public(owner):
    """The public names of a module or class, but for what it happens to import."""
    modules = "os sys logging six platform traceback nativeagent"
    helpers = "Any Callable Iterable Lock Mapping NamedTuple NoReturn Optional cast namedtuple range"
    return sorted(name for name in dir(owner) if name[0] != "_" and name not in f"{modules} {helpers}".split())


def label(module):
    """The name under which it is imported."""
    return module.__name__.rpartition("pitviper.compat.")[2]


def names():
    """Everything public that has a name."""
    for module in (oneagent, oneagent.common, oneagent.sdk, oneagent.sdk.tracers, oneagent.version):
        tell(f"names of {label(module)}", public(module))
    for module in (oneagent.common, oneagent.sdk, oneagent.sdk.tracers):
        for name, value in vars(module).items():
            if isinstance(value, type) and value.__module__ == module.__name__ and name[0] != "_":
                short = f"{label(module)}.{name}"
                tell(f"{short} has", public(value))
                tell(f"{short} is", [kind.__name__ for kind in value.__mro__ if kind.__name__[0] != "_"])
                constants = {key: item for key, item in vars(value).items() if key.isupper() and key[0] != "_"}
                tell(f"{short} says", constants)
                if constants and name != "TraceContextInfo":
                    tell(f"{short}()", raised(value))
    tell("version", [oneagent.__version__, oneagent.version.shipped_c_stub_version])
    tell("header", [oneagent.sdk.DYNATRACE_HTTP_HEADER_NAME, oneagent.sdk.DYNATRACE_MESSAGE_PROPERTY_NAME])
    tell("older name", oneagent.common.DYNATRACE_MESSAGE_PROPERTYNAME)
    tell("logger", [oneagent.logger.name, oneagent.logger.level, oneagent.sdk.logger is oneagent.logger])
    tell("names of SDK instance", public(oneagent.get_sdk()))


def values():
    """What small things look like."""
    result = oneagent.InitResult
    tell("results", [repr(result(status, None)) for status in (-2, -1, 0, 1, 2, 7)])
    tell("true results", [bool(result(status, None)) for status in (-2, -1, 0, 1, 2)])
    tell("result fields", [result._fields, result.__slots__ == (), isinstance(result(0, None), tuple)])
    tell("value names", [result._value_name(-1), result._value_name(99)])
    error = oneagent.SDKError(oneagent.ErrorCode.LOAD_AGENT, "no agent")
    tell("error", [repr(error), error.code, error.message, str(error)])
    error = oneagent.SDKInitializationError(5, "no", "1/2")
    tell("initialization error", [repr(error), error.agent_version, isinstance(error, oneagent.SDKError)])
    tell("its default", oneagent.SDKInitializationError(5, "no").agent_version)
    channel = oneagent.sdk.Channel
    tell("channel", [repr(channel(1)), repr(channel(1, "x:1")), channel(2, "x") == (2, "x"), channel._fields])
    context = oneagent.common.TraceContextInfo(True, "a" * 32, "b" * 16)
    tell("context", [str(context), bool(context), context.trace_id, context.span_id, context.is_valid])
    arguments = ["program", "--dt_a=1", "x", "--dt_b=2"]
    tell("options", [oneagent.sdkopts_from_commandline(arguments), len(arguments)])
    tell("options taken", [oneagent.sdkopts_from_commandline(arguments, remove=True), arguments])
    tell("other options", oneagent.sdkopts_from_commandline(["--x-a=1", "--dt_b=2"], prefix="--x-"))
    sys.argv[1:] = ["--dt_own=1"]
    tell("own options", oneagent.sdkopts_from_commandline())


def everything(sdk):
    """All tracers, each started, told something and ended."""
    channel = oneagent.sdk.Channel(oneagent.sdk.ChannelType.TCP_IP, "host:1")
    seen = []
    with sdk.create_web_application_info("host", "Web", "/") as application:
        with sdk.trace_incoming_web_request(
            application, "/a?b=c", "GET", {"A": "1"}, remote_address="192.0.2.1"
        ) as request:
            seen.append(["".join(letter for letter in str(application) if not letter.isdigit()), bool(application)])
            request.add_parameters({"p": "1"})
            request.add_parameters(["q"], ["2"], 1)
            request.add_parameter(b"bytes", "x")
            request.add_response_headers({"H": "1"})
            request.add_response_headers(("I", "J"), ("2", "3"))
            request.add_response_header("K", "4")
            request.set_status_code(201)
            for key, value in [("text", "x"), ("number", 7), ("flag", True), ("float", 0.5), ("huge", 2**65 + 3)]:
                sdk.add_custom_request_attribute(key, value)
            sdk.add_custom_request_attribute("none", None)
            with sdk.create_database_info("db", oneagent.sdk.DatabaseVendor.H2, channel) as database:
                with sdk.trace_sql_database_request(database, "SELECT a FROM b") as query:
                    query.set_rows_returned(3)
                    query.set_round_trip_count(-1)
            with sdk.trace_outgoing_web_request("http://host/x", "PUT", (["B"], ["2"])) as outgoing:
                seen.append([type(outgoing.outgoing_dynatrace_string_tag).__name__, bool(outgoing)])
                seen.append(outgoing.outgoing_dynatrace_string_tag == outgoing.outgoing_dynatrace_byte_tag)
                outgoing.add_response_header("L", "5")
                outgoing.set_status_code(500)
            queue = sdk.create_messaging_system_info("MQ", "q", oneagent.sdk.MessagingDestinationType.TOPIC, channel)
            with queue:
                with sdk.trace_outgoing_message(queue) as message:
                    tag = message.outgoing_dynatrace_string_tag
                    message.set_vendor_message_id("m")
                    message.set_correlation_id("c")
                with sdk.trace_incoming_message_receive(queue):
                    pass
            call = sdk.trace_outgoing_remote_call("m", "Far", "e", channel, protocol_name="P")
            with call:
                byte_tag = call.outgoing_dynatrace_byte_tag
            link = sdk.create_in_process_link()
            seen.append([type(link).__name__, bool(link)])
    with sdk.trace_incoming_remote_call("m", "Far", "e", "P", byte_tag=byte_tag) as served:
        served.mark_failed("E", "text")
    with sdk.trace_incoming_remote_call("both", "Far", "e", str_tag="a", byte_tag=b"b"):
        pass
    queue = sdk.create_messaging_system_info("MQ", "q", oneagent.sdk.MessagingDestinationType.TOPIC, channel)
    with queue, sdk.trace_incoming_message_process(queue, str_tag=tag) as processed:
        processed.set_vendor_message_id("m")
        processed.set_correlation_id("c")
    with sdk.trace_in_process_link(link) as linked:
        seen.append(bool(linked))
        try:
            with sdk.trace_custom_service("fails", "Own"):
                raise ValueError("by exception")
        except ValueError as error:
            seen.append(str(error))
        later = sdk.trace_custom_service("marked", "Own")
        later.start()
        later.mark_failed_exc(KeyError("given"))
        later.end()
        later.end()
        context = sdk.tracecontext_get_current()
        seen.append([bool(context), len(str(context))])
    return seen


def states(sdk):
    """What the SDK says of itself."""
    found = [sdk.agent_found, sdk.agent_is_compatible, sdk.agent_state, sdk.agent_fork_state]
    return [*found, sdk.agent_version_string]


def mistakes(sdk, told):
    """What does not work, and what is said of it; handles have other numbers each time."""

    def said():
        found = ["".join(letter for letter in message if not letter.isdigit()) for message in told]
        told.clear()
        return found

    channel = oneagent.sdk.Channel(0)
    tell("no such tag", [bool(sdk.trace_incoming_remote_call("m", "S", "e", str_tag="x")), said()])
    call = sdk.trace_outgoing_remote_call("m", "S", "e", channel)
    call.mark_failed("E", "before")
    tell("failed before its start", said())
    call.start()
    call.start()
    tell("started twice", said())
    call.mark_failed("E", "one")
    call.mark_failed("E", "two")
    tell("failed twice", said())
    call.end()
    tell("ended", [bool(call), call.handle, said()])
    tell("failed after its end", raised(call.mark_failed, "E", "m"))
    tell("failed by nothing", raised(sdk.trace_custom_service("a", "b").mark_failed_exc))
    sdk.trace_custom_service("left", "alone")
    tell("left alone", [message.partition("(")[0] for message in said()])
    sdk.create_database_info("left", "open", channel)
    tell("left open", [message.partition(" <")[0] for message in said()])
    tell("no name", [bool(sdk.create_database_info("", "v", channel)), said()[:1]])
    tell("no database", raised(sdk.trace_sql_database_request, None, "x"))
    tell("no application", raised(sdk.trace_incoming_web_request, None, "/", "GET"))
    tell("one header list", raised(sdk.trace_outgoing_web_request, "http://x/", "GET", ["a"]))
    said()
    with sdk.create_web_application_info("host", "Web", "/") as application:
        request = sdk.trace_incoming_web_request(application, "/", "GET")
        tell("fewer than there are", raised(request.add_parameters, ["a", "b"], ["1", "2"], 1))
        request.end()
    tell("no text", raised(sdk.trace_custom_service, 7, "S")[:1])
    tell("no link", [bool(sdk.trace_in_process_link(b"")), said()])
    tell("strange link", [bool(sdk.trace_in_process_link(b"x" * 99)), said()])
    sdk.add_custom_request_attribute("nowhere", "x")
    tell("attribute of nothing", said())
    sdk.add_custom_request_attribute("object", object())
    tell("attribute of no kind", [message.partition(" object at")[0] for message in said()])
    sdk.set_verbose_callback(told.append)
    sdk.set_verbose_callback(None)
    tell("verbose", said())


def main():
    """Asks."""
    logging.basicConfig(level=logging.CRITICAL + 2)
    names()
    values()
    tell("before", [states(oneagent.get_sdk()), oneagent.get_sdk() is oneagent.get_sdk(), repr(oneagent.try_get_sdk())])
    tell("before: everything", raised(everything, oneagent.get_sdk()))
    oneagent.get_sdk().set_diagnostic_callback(print)
    tell("shutdown before", oneagent.shutdown())
    tell("first", oneagent.initialize(["bad", "tenant=x"], sdklibname="/no/such.so", forkable=True))
    tell("second", oneagent.initialize())
    sdk = oneagent.get_sdk()
    tell("one SDK", [sdk is oneagent.get_sdk(), type(sdk).__name__, oneagent.try_get_sdk() is not None])
    tell("states", states(sdk))
    told = []
    sdk.set_diagnostic_callback(told.append)
    tell("everything", everything(sdk))
    tell("told of everything", told)
    told.clear()
    mistakes(sdk, told)
    sdk.set_diagnostic_callback(None)
    tell("shutdowns", [oneagent.shutdown(), oneagent.get_sdk() is sdk, oneagent.shutdown(), oneagent.shutdown()])
    tell("after", states(oneagent.get_sdk()))
    os.environ["DT_AGENTACTIVE"] = "false"
    tell("switched off", [repr(oneagent.initialize()), states(oneagent.get_sdk())[:3]])
    tell("switched off: shutdown", oneagent.shutdown())
    print(json.dumps(answers))


main()
