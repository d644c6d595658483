"""Tracers: each is started, may be told things and marked as failed, and is ended; or it is a context manager."""

import sys
from typing import Any, Optional


class OutgoingTaggable:
    """What calls another process, and can say who calls. Its tags are there between start and end."""

    nsdk: Any = None
    handle: Any = None

    @property
    def outgoing_dynatrace_string_tag(self) -> bytes:
        """The tag as ASCII; empty where nothing is traced."""
        return self.nsdk.tracer_get_outgoing_tag(self.handle, False)

    @property
    def outgoing_dynatrace_byte_tag(self) -> bytes:
        """The tag as bytes; empty where nothing is traced."""
        return self.nsdk.tracer_get_outgoing_tag(self.handle, True)


class Tracer:
    """One thing that is traced; false where nothing is."""

    def __init__(self, nsdk: Any, handle: Any) -> None:
        self.nsdk = nsdk
        self.handle = handle

    def start(self) -> None:
        """Starts it: it is current from now on."""
        self.nsdk.tracer_start(self.handle)

    def end(self) -> None:
        """Ends it; a second time does nothing."""
        if self.handle is not None:
            self.nsdk.tracer_end(self.handle)
            self.handle = None

    def mark_failed(self, clsname: Any, msg: Any) -> None:
        """Marks it as failed, once, between start and end.

        Args:
            clsname: The class of the error.
            msg: What it says.
        """
        self.nsdk.tracer_error(self.handle, clsname, msg)

    def mark_failed_exc(self, e_val: Any = None, e_ty: Any = None) -> None:
        """Marks it as failed by an exception; by the one that is being handled when none is given."""
        if e_ty is None and e_val is None:
            e_ty, e_val = sys.exc_info()[:2]
        if e_ty is None and e_val is not None:
            e_ty = e_val.__class__
        if e_ty is not None and self.handle:
            module = getattr(e_ty, "__module__", None) or "<UNKNOWN_MODULE>"
            self.mark_failed(f"{module}.{e_ty.__qualname__}", str(e_val))

    def __enter__(self) -> Any:
        self.start()
        return self

    def __exit__(self, e_ty: Any, e_val: Any, e_tb: Any) -> None:
        try:
            if e_ty is not None or e_val is not None:
                self.mark_failed_exc(e_val, e_ty)
        finally:
            self.end()

    def __bool__(self) -> bool:
        return bool(self.handle)

    def __del__(self) -> None:
        # It is not ended: what it stands for may go on.
        if self.handle is not None:
            told = self.nsdk.agent_get_logging_callback()
            if told:
                told(f"Un-ended SDK Tracer {type(self)}({self.handle})")


def _add(nsdk_function: Any, handle: Any, names_or_dict: Any, values: Any, count: Optional[int]) -> None:
    """Adds pairs: those of a mapping, or of two collections."""
    if values is None:
        nsdk_function(handle, names_or_dict.keys(), names_or_dict.values(), len(names_or_dict))
    else:
        nsdk_function(handle, names_or_dict, values, len(names_or_dict) if count is None else count)


class DatabaseRequestTracer(Tracer):
    """A statement; recorded within another tracer only."""

    def set_rows_returned(self, rows_returned: int) -> None:
        """Says how many rows came."""
        self.nsdk.databaserequesttracer_set_returned_row_count(self.handle, rows_returned)

    def set_round_trip_count(self, round_trip_count: int) -> None:
        """Says how often the client asked the database."""
        self.nsdk.databaserequesttracer_set_round_trip_count(self.handle, round_trip_count)


class IncomingRemoteCallTracer(Tracer):
    """A call that another process made."""


class OutgoingRemoteCallTracer(Tracer, OutgoingTaggable):
    """A call of another process."""


class IncomingWebRequestTracer(Tracer):
    """A request that a web application serves."""

    def add_parameters(self, names_or_dict: Any, values: Any = None, count: Optional[int] = None) -> None:
        """Adds parameters, such as a form's: a mapping, or names and values and perhaps how many of them count."""
        _add(self.nsdk.incomingwebrequesttracer_add_parameters, self.handle, names_or_dict, values, count)

    def add_parameter(self, name: Any, value: Any) -> None:
        """Adds a parameter."""
        self.nsdk.incomingwebrequesttracer_add_parameter(self.handle, name, value)

    def add_response_headers(self, names_or_dict: Any, values: Any = None, count: Optional[int] = None) -> None:
        """Adds headers of the answer, as :meth:`add_parameters` does."""
        _add(self.nsdk.incomingwebrequesttracer_add_response_headers, self.handle, names_or_dict, values, count)

    def add_response_header(self, name: Any, value: Any) -> None:
        """Adds a header of the answer."""
        self.nsdk.incomingwebrequesttracer_add_response_header(self.handle, name, value)

    def set_status_code(self, code: int) -> None:
        """Says with which status it is answered."""
        self.nsdk.incomingwebrequesttracer_set_status_code(self.handle, code)


class OutgoingWebRequestTracer(Tracer, OutgoingTaggable):
    """A request that is sent."""

    def add_response_headers(self, names_or_dict: Any, values: Any = None, count: Optional[int] = None) -> None:
        """Adds headers of the answer: a mapping, or names and values and perhaps how many of them count."""
        _add(self.nsdk.outgoingwebrequesttracer_add_response_headers, self.handle, names_or_dict, values, count)

    def add_response_header(self, name: Any, value: Any) -> None:
        """Adds a header of the answer."""
        self.nsdk.outgoingwebrequesttracer_add_response_header(self.handle, name, value)

    def set_status_code(self, code: int) -> None:
        """Says with which status it was answered."""
        self.nsdk.outgoingwebrequesttracer_set_status_code(self.handle, code)


class InProcessLinkTracer(Tracer):
    """What goes on in another thread or later."""


class OutgoingMessageTracer(Tracer, OutgoingTaggable):
    """A message that is sent."""

    def set_vendor_message_id(self, message_id: Any) -> None:
        """Says which id the messaging system gave it."""
        self.nsdk.outgoingmessagetracer_set_vendor_message_id(self.handle, message_id)

    def set_correlation_id(self, correlation_id: Any) -> None:
        """Says which id the application gave it."""
        self.nsdk.outgoingmessagetracer_set_correlation_id(self.handle, correlation_id)


class IncomingMessageReceiveTracer(Tracer):
    """Waiting for a message."""


class IncomingMessageProcessTracer(Tracer):
    """What is done with a message that came."""

    def set_vendor_message_id(self, message_id: Any) -> None:
        """Says which id the messaging system gave it."""
        self.nsdk.incomingmessageprocesstracer_set_vendor_message_id(self.handle, message_id)

    def set_correlation_id(self, correlation_id: Any) -> None:
        """Says which id the application gave it."""
        self.nsdk.incomingmessageprocesstracer_set_correlation_id(self.handle, correlation_id)


class CustomServiceTracer(Tracer):
    """A method of a service that the application names."""
