"""The interceptor of channels."""

# pyright: reportUntypedBaseClass=false

import sys
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client
from pitviper.integrations.grpc import calls

grpc: Any = sys.modules["grpc"]


class _Details(grpc.ClientCallDetails):
    """Details of a call with metadata of ours among them."""

    def __init__(self, details: Any, metadata: "tuple[Any, ...]") -> None:
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = metadata
        self.credentials = details.credentials
        self.wait_for_ready = getattr(details, "wait_for_ready", None)
        self.compression = getattr(details, "compression", None)


class Interceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Gives each call a span."""

    def __init__(self, target: Any) -> None:
        self._where = calls.address(target)

    def _intercept(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        span: Optional[_native.Span] = None
        try:
            span = calls.start_client(details.method, self._where)
            metadata = (*(details.metadata or ()), *_client.context_of(span).items())
            details = _Details(details, metadata)
        except Exception as error:
            internal_error(error)
        try:
            call = continuation(details, request)
        except BaseException as error:
            if span is not None:
                span.__exit__(type(error), error, None)
            raise
        if span is not None:
            try:
                _when_over(call, span)
            except Exception as error:
                span.end()
                internal_error(error)
        return call

    intercept_unary_unary = _intercept
    intercept_unary_stream = _intercept
    intercept_stream_unary = _intercept
    intercept_stream_stream = _intercept


def _when_over(call: Any, span: _native.Span) -> None:
    def over(_: Any = None) -> None:
        try:
            calls.finish(span, call.code(), call.details())
        except Exception as error:
            span.end()
            internal_error(error)

    if call.done() or not call.add_callback(over):
        # No one else will tell.
        over()
