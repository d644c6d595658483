"""The interceptor of asyncio's servers."""

# pyright: reportUntypedBaseClass=false

import inspect
import sys
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations.grpc import server

aio: Any = sys.modules["grpc.aio"]


class Interceptor(aio.ServerInterceptor):
    """Gives each call a span."""

    async def intercept_service(self, continuation: Callable[..., Any], handler_call_details: Any) -> Any:
        """Called by grpc when a call arrives."""
        handler = await continuation(handler_call_details)
        try:
            return server.rewrapped(handler, handler_call_details.method, _unary, _stream)
        except Exception as error:
            internal_error(error)
            return handler


def _unary(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A handler that returns one message; a plain function is run in a thread by grpc."""
    return _coroutine(function, method) if _is_coroutine(function) else server.unary(function, method)


def _stream(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A handler of many messages: an async generator, or a coroutine that writes to the context."""
    if inspect.isasyncgenfunction(function):
        return _generator(function, method)
    return _coroutine(function, method) if _is_coroutine(function) else server.stream(function, method)


def _is_coroutine(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _coroutine(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    async def handle(request: Any, context: Any) -> Any:
        span = server.begin(method, context)
        if span is None:
            return await function(request, context)
        token = _native.activate(span)
        try:
            response = await function(request, context)
        except BaseException as error:
            _native.deactivate(token)
            server.failed(span, context, error)
            raise
        _native.deactivate(token)
        server.finished(span, context)
        return response

    return handle


def _generator(function: Callable[..., Any], method: str) -> Callable[..., Any]:
    async def handle(request: Any, context: Any) -> Any:
        span = server.begin(method, context)
        if span is None:
            async for response in function(request, context):
                yield response
            return
        responses = function(request, context)
        try:
            while True:
                token = _native.activate(span)
                try:
                    response = await responses.__anext__()
                except StopAsyncIteration:
                    break
                finally:
                    _native.deactivate(token)
                yield response
        except BaseException as error:
            server.failed(span, context, error)
            raise
        finally:
            await responses.aclose()
        server.finished(span, context)

    return handle
