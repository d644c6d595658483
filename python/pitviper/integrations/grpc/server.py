"""The interceptor of servers, and how a handler is called within a span."""

# pyright: reportUntypedBaseClass=false

import sys
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations.grpc import calls

grpc: Any = sys.modules["grpc"]

Wrap = Callable[[Callable[..., Any], str], Callable[..., Any]]


class Interceptor(grpc.ServerInterceptor):
    """Gives each call a span."""

    def intercept_service(self, continuation: Callable[..., Any], details: Any) -> Any:
        """Called by grpc when a call arrives."""
        handler = continuation(details)
        try:
            return rewrapped(handler, details.method, unary, stream)
        except Exception as error:
            internal_error(error)
            return handler


def rewrapped(handler: Any, method: str, wrap_unary: Wrap, wrap_stream: Wrap) -> Any:
    """A handler like the given one whose function is wrapped."""
    if handler is None:
        # No such method.
        return None
    if handler.request_streaming:
        if handler.response_streaming:
            make, function, wrap = grpc.stream_stream_rpc_method_handler, handler.stream_stream, wrap_stream
        else:
            make, function, wrap = grpc.stream_unary_rpc_method_handler, handler.stream_unary, wrap_unary
    elif handler.response_streaming:
        make, function, wrap = grpc.unary_stream_rpc_method_handler, handler.unary_stream, wrap_stream
    else:
        make, function, wrap = grpc.unary_unary_rpc_method_handler, handler.unary_unary, wrap_unary
    return make(wrap(function, method), handler.request_deserializer, handler.response_serializer)


def begin(method: str, context: Any) -> Optional[_native.Span]:
    """Starts the span of a call."""
    try:
        return calls.start_server(method, context.invocation_metadata())
    except Exception as error:
        internal_error(error)
        return None


def _code(context: Any) -> Any:
    # The context that grpc.aio gives to plain functions does not tell.
    ask = getattr(context, "code", None)
    return None if ask is None else ask()


def failed(span: _native.Span, context: Any, failure: BaseException) -> None:
    """Ends the span of a call whose handler raised."""
    code = calls.UNKNOWN
    try:
        given = calls.number_of(_code(context))
        if type(failure).__name__ == "AbortError" and given == calls.OK:
            # Aborted, and the context does not tell with which status.
            pass
        elif given != calls.OK:
            # context.abort raises to end the handler; the status is what was meant.
            code = given
        elif isinstance(failure, Exception):
            span.record_exception(failure, None, None, True)
        else:
            code = calls.CANCELLED
    except Exception as error:
        internal_error(error)
    calls.finish(span, code, str(failure), server=True)


def finished(span: _native.Span, context: Any) -> None:
    """Ends the span of a call whose handler returned."""
    code = None
    try:
        code = _code(context)
    except Exception as error:
        internal_error(error)
    calls.finish(span, code, server=True)


def unary(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A handler that returns one message."""

    def handle(request: Any, context: Any) -> Any:
        span = begin(method, context)
        if span is None:
            return function(request, context)
        token = _native.activate(span)
        try:
            response = function(request, context)
        except BaseException as error:
            _native.deactivate(token)
            failed(span, context, error)
            raise
        _native.deactivate(token)
        finished(span, context)
        return response

    return handle


def stream(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A handler that returns messages one by one; its span is current while it makes one."""

    def handle(request: Any, context: Any) -> Any:
        span = begin(method, context)
        if span is None:
            yield from function(request, context)
            return
        try:
            token = _native.activate(span)
            try:
                responses = iter(function(request, context))
            finally:
                _native.deactivate(token)
            while True:
                token = _native.activate(span)
                try:
                    response = next(responses)
                except StopIteration:
                    break
                finally:
                    _native.deactivate(token)
                yield response
        except BaseException as error:
            failed(span, context, error)
            raise
        finished(span, context)

    return handle
