"""The SDK: what is traced is described, and tracers of it are made."""

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional, cast

from .. import logger
from ..common import (
    DYNATRACE_HTTP_HEADER_NAME,
    DYNATRACE_MESSAGE_PROPERTY_NAME,
    DYNATRACE_MESSAGE_PROPERTYNAME,
    AgentForkState,
    AgentState,
    ChannelType,
    DatabaseVendor,
    DbInfoHandle,
    ErrorCode,
    MessageSeverity,
    MessagingDestinationType,
    MessagingSystemInfoHandle,
    MessagingVendor,
    SDKError,
    SDKHandleBase,
    SDKInitializationError,
    TraceContextInfo,
    WebapplicationInfoHandle,
)
from . import tracers

__all__ = [
    "DYNATRACE_HTTP_HEADER_NAME",
    "DYNATRACE_MESSAGE_PROPERTYNAME",
    "DYNATRACE_MESSAGE_PROPERTY_NAME",
    "SDK",
    "AgentForkState",
    "AgentState",
    "Channel",
    "ChannelType",
    "DatabaseVendor",
    "DbInfoHandle",
    "ErrorCode",
    "Mapping",
    "MessageSeverity",
    "MessagingDestinationType",
    "MessagingSystemInfoHandle",
    "MessagingVendor",
    "SDKError",
    "SDKHandleBase",
    "SDKInitializationError",
    "TraceContextInfo",
    "WebapplicationInfoHandle",
    "logger",
    "tracers",
]


class Channel(NamedTuple):
    """How something is reached.

    Attributes:
        type_: One of :class:`ChannelType`.
        endpoint: Where, such as ``host:port``.
    """

    type_: int
    endpoint: Optional[str] = None


_Callback = Optional[Callable[[str], object]]


def _pairs(given: Any) -> "tuple[Any, Any, int]":
    """The pairs of a mapping, or of names, values and perhaps how many of them count."""
    if isinstance(given, Mapping):
        pairs = cast("Mapping[Any, Any]", given)
        return pairs.keys(), pairs.values(), len(pairs)
    assert 2 <= len(given) <= 3, "Argument must be a mapping or a sequence (keys, values, [len])"
    return given[0], given[1], given[2] if len(given) == 3 else len(given[0])


class SDK:
    """All of the SDK; :func:`oneagent.get_sdk` has it."""

    def __init__(self, native_sdk: Any) -> None:
        self._nsdk = native_sdk

    def _tell(self, message: str) -> None:
        told = self._nsdk.agent_get_logging_callback()
        if told:
            told(message)

    def _tag(self, tracer: tracers.Tracer, str_tag: Any, byte_tag: Any) -> None:
        """Says who called. Of two tags none counts."""
        if str_tag is not None and byte_tag is not None:
            self._tell("Both str_tag and byte_tag specified. Use only one!")
        elif byte_tag is not None:
            self._nsdk.tracer_set_incoming_byte_tag(tracer.handle, byte_tag)
        elif str_tag is not None:
            self._nsdk.tracer_set_incoming_string_tag(tracer.handle, str_tag)

    def create_database_info(self, name: Any, vendor: Any, channel: Any) -> DbInfoHandle:
        """Describes a database.

        Args:
            name: Its name.
            vendor: One of :class:`DatabaseVendor`, or another text.
            channel: How it is reached, a :class:`Channel`.
        """
        handle = self._nsdk.databaseinfo_create(name, vendor, channel.type_, channel.endpoint)
        return DbInfoHandle(self._nsdk, handle)

    def create_web_application_info(
        self, virtual_host: Any, application_id: Any, context_root: Any
    ) -> WebapplicationInfoHandle:
        """Describes a web application.

        Args:
            virtual_host: The name of the web server that has it.
            application_id: Its name: requests are those of a service of this name.
            context_root: What the paths of its URLs begin with.
        """
        handle = self._nsdk.webapplicationinfo_create(virtual_host, application_id, context_root)
        return WebapplicationInfoHandle(self._nsdk, handle)

    def create_messaging_system_info(
        self, vendor_name: Any, destination_name: Any, destination_type: int, channel: Any
    ) -> MessagingSystemInfoHandle:
        """Describes a queue or topic.

        Args:
            vendor_name: One of :class:`MessagingVendor`, or another text.
            destination_name: Its name.
            destination_type: One of :class:`MessagingDestinationType`.
            channel: How it is reached, a :class:`Channel`.
        """
        handle = self._nsdk.messagingsysteminfo_create(
            vendor_name, destination_name, destination_type, channel.type_, channel.endpoint
        )
        return MessagingSystemInfoHandle(self._nsdk, handle)

    def trace_sql_database_request(self, database: DbInfoHandle, sql: Any) -> tracers.DatabaseRequestTracer:
        """Makes a tracer of a statement."""
        assert isinstance(database, DbInfoHandle)
        handle = self._nsdk.databaserequesttracer_create_sql(database.handle, sql)
        return tracers.DatabaseRequestTracer(self._nsdk, handle)

    def trace_incoming_web_request(
        self,
        webapp_info: WebapplicationInfoHandle,
        url: Any,
        method: Any,
        headers: Any = None,
        remote_address: Any = None,
        str_tag: Any = None,
        byte_tag: Any = None,
    ) -> tracers.IncomingWebRequestTracer:
        """Makes a tracer of a request that a web application serves.

        Args:
            webapp_info: The application.
            url: The URL; scheme and host may be missing.
            method: GET, POST and so on.
            headers: A mapping, or names and values and perhaps how many of them count.
            remote_address: Who sent it.
            str_tag: The tag that came with it as text.
            byte_tag: The tag that came with it as bytes.
        """
        assert isinstance(webapp_info, WebapplicationInfoHandle)
        handle = self._nsdk.incomingwebrequesttracer_create(webapp_info.handle, url, method)
        result = tracers.IncomingWebRequestTracer(self._nsdk, handle)
        if not result:
            return result
        try:
            if headers:
                self._nsdk.incomingwebrequesttracer_add_request_headers(handle, *_pairs(headers))
            if remote_address:
                self._nsdk.incomingwebrequesttracer_set_remote_address(handle, remote_address)
            self._tag(result, str_tag, byte_tag)
        except BaseException:
            result.end()
            raise
        return result

    def trace_outgoing_web_request(
        self, url: Any, method: Any, headers: Any = None
    ) -> tracers.OutgoingWebRequestTracer:
        """Makes a tracer of a request that is sent.

        Args:
            url: The whole URL.
            method: GET, POST and so on.
            headers: A mapping, or names and values and perhaps how many of them count.
        """
        handle = self._nsdk.outgoingwebrequesttracer_create(url, method)
        result = tracers.OutgoingWebRequestTracer(self._nsdk, handle)
        if not result:
            return result
        try:
            if headers:
                self._nsdk.outgoingwebrequesttracer_add_request_headers(handle, *_pairs(headers))
        except BaseException:
            result.end()
            raise
        return result

    def trace_outgoing_remote_call(
        self, method: Any, service: Any, endpoint: Any, channel: Any, protocol_name: Any = None
    ) -> tracers.OutgoingRemoteCallTracer:
        """Makes a tracer of a call of another process.

        Args:
            method: What is called.
            service: The service that has it.
            endpoint: Where that is deployed.
            channel: How it is reached, a :class:`Channel`.
            protocol_name: By which protocol; for display only.
        """
        handle = self._nsdk.outgoingremotecalltracer_create(method, service, endpoint, channel.type_, channel.endpoint)
        result = tracers.OutgoingRemoteCallTracer(self._nsdk, handle)
        if protocol_name is not None:
            self._nsdk.outgoingremotecalltracer_set_protocol_name(handle, protocol_name)
        return result

    def trace_incoming_remote_call(
        self,
        method: Any,
        name: Any,
        endpoint: Any,
        protocol_name: Any = None,
        str_tag: Any = None,
        byte_tag: Any = None,
    ) -> tracers.IncomingRemoteCallTracer:
        """Makes a tracer of a call that another process made.

        Args:
            method: What was called.
            name: The service that has it: the call is one of a service of this name.
            endpoint: Where that is deployed.
            protocol_name: By which protocol; for display only.
            str_tag: The tag that came with it as text.
            byte_tag: The tag that came with it as bytes.
        """
        handle = self._nsdk.incomingremotecalltracer_create(method, name, endpoint)
        result = tracers.IncomingRemoteCallTracer(self._nsdk, handle)
        if protocol_name is not None:
            self._nsdk.incomingremotecalltracer_set_protocol_name(handle, protocol_name)
        self._tag(result, str_tag, byte_tag)
        return result

    def trace_outgoing_message(self, messaging_system_info: MessagingSystemInfoHandle) -> tracers.OutgoingMessageTracer:
        """Makes a tracer of a message that is sent."""
        handle = self._nsdk.outgoingmessagetracer_create(messaging_system_info.handle)
        return tracers.OutgoingMessageTracer(self._nsdk, handle)

    def trace_incoming_message_receive(
        self, messaging_system_info: MessagingSystemInfoHandle
    ) -> tracers.IncomingMessageReceiveTracer:
        """Makes a tracer of waiting for a message; what is done with it is traced within."""
        handle = self._nsdk.incomingmessagereceivetracer_create(messaging_system_info.handle)
        return tracers.IncomingMessageReceiveTracer(self._nsdk, handle)

    def trace_incoming_message_process(
        self, messaging_system_info: MessagingSystemInfoHandle, str_tag: Any = None, byte_tag: Any = None
    ) -> tracers.IncomingMessageProcessTracer:
        """Makes a tracer of what is done with a message, in the trace of who sent it.

        Args:
            messaging_system_info: Where it came from.
            str_tag: The tag that came with it as text.
            byte_tag: The tag that came with it as bytes.
        """
        handle = self._nsdk.incomingmessageprocesstracer_create(messaging_system_info.handle)
        result = tracers.IncomingMessageProcessTracer(self._nsdk, handle)
        self._tag(result, str_tag, byte_tag)
        return result

    def trace_custom_service(self, service_method: Any, service_name: Any) -> tracers.CustomServiceTracer:
        """Makes a tracer of a method of a service that the application names."""
        handle = self._nsdk.customservicetracer_create(service_method, service_name)
        return tracers.CustomServiceTracer(self._nsdk, handle)

    def create_in_process_link(self) -> bytes:
        """A link to what is current, for another thread or a later time of this process; empty where nothing is."""
        return self._nsdk.create_in_process_link()

    def trace_in_process_link(self, link_bytes: bytes) -> tracers.InProcessLinkTracer:
        """Makes a tracer of what goes on at the other end of a link."""
        return tracers.InProcessLinkTracer(self._nsdk, self._nsdk.trace_in_process_link(link_bytes))

    def add_custom_request_attribute(self, key: Any, value: Any) -> None:
        """Gives the request that is being served an attribute: a whole number, a float or a text."""
        if isinstance(value, int):
            self._nsdk.customrequestattribute_add_integer(key, value)
        elif isinstance(value, float):
            self._nsdk.customrequestattribute_add_float(key, value)
        elif isinstance(value, str):
            self._nsdk.customrequestattribute_add_string(key, value)
        else:
            self._tell(
                f"Can't add custom request attribute '{key}' because the value type '{type(value)}' is not supported!"
            )

    def tracecontext_get_current(self) -> TraceContextInfo:
        """The ids of what is current, for logs."""
        code, trace_id, span_id = self._nsdk.tracecontext_get_current()
        return TraceContextInfo(code == ErrorCode.SUCCESS, trace_id, span_id)

    def set_diagnostic_callback(self, callback: _Callback) -> None:
        """Says who is told what a call did not do, and why; None for nobody. It must not call the SDK."""
        self._set("warning", self._nsdk.agent_set_warning_callback(callback))

    def set_verbose_callback(self, callback: _Callback) -> None:
        """Says who is told more than that. There is nothing more."""
        self._set("verbose", self._nsdk.agent_set_verbose_callback(callback))

    def _set(self, what: str, code: int) -> None:
        if code != ErrorCode.SUCCESS:
            logger.error("Could not set %s callback: Error %d: %s", what, code, self._nsdk.strerror(code))

    @property
    def agent_state(self) -> int:
        """One of :class:`AgentState`."""
        return self._nsdk.agent_get_current_state()

    @property
    def agent_fork_state(self) -> int:
        """One of :class:`AgentForkState`."""
        return self._nsdk.agent_get_fork_state()

    @property
    def agent_version_string(self) -> str:
        """The agent's version, a slash, and the version of the C interface."""
        return self._nsdk.agent_get_version_string()

    @property
    def agent_found(self) -> bool:
        """Whether there is an agent."""
        return self._nsdk.agent_found()

    @property
    def agent_is_compatible(self) -> bool:
        """Whether it has what the SDK needs."""
        return self._nsdk.agent_is_compatible()
