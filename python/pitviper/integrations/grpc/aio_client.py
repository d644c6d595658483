"""The interceptors of asyncio's channels: one for each kind of call, as grpc.aio wants it."""

# pyright: reportUntypedBaseClass=false

import sys
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client
from pitviper.integrations.grpc import calls

aio: Any = sys.modules["grpc.aio"]


def interceptors(target: Any) -> "list[Any]":
    """The interceptors of a channel."""
    where = calls.address(target)
    return [kind(where) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Interceptor:
    """Gives each call a span."""

    def __init__(self, where: "dict[str, object]") -> None:
        self._where = where

    async def _intercept(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        span: Optional[_native.Span] = None
        try:
            span = calls.start_client(details.method, self._where)
            metadata = aio.Metadata(*(details.metadata or ()), *_client.context_of(span).items())
            details = details._replace(metadata=metadata)
        except Exception as error:
            internal_error(error)
        try:
            call = await continuation(details, request)
        except BaseException as error:
            if span is not None:
                span.__exit__(type(error), error, None)
            raise
        if span is not None:
            _when_over(call, span)
        return call


def _when_over(call: Any, span: _native.Span) -> None:
    def over(done: Any) -> None:
        try:
            calls.finish(span, _result(done.code()), _result(done.details()))
        except Exception as error:
            span.end()
            internal_error(error)

    try:
        call.add_done_callback(over)
    except Exception as error:
        span.end()
        internal_error(error)


def _result(ready: Any) -> Any:
    """The result of a coroutine that has nothing to wait for."""
    try:
        ready.send(None)
    except StopIteration as stopped:
        return stopped.value
    ready.close()
    return None


class _UnaryUnary(_Interceptor, aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary = _Interceptor._intercept


class _UnaryStream(_Interceptor, aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _Interceptor._intercept


class _StreamUnary(_Interceptor, aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _Interceptor._intercept


class _StreamStream(_Interceptor, aio.StreamStreamClientInterceptor):
    intercept_stream_stream = _Interceptor._intercept
