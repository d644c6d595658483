"""Wraps the functions that make channels and servers: each gets an interceptor of ours, outermost."""

import sys
from typing import Any, Callable

from pitviper._guard import internal_error


def channel(original: Callable[..., Any]) -> Callable[..., Any]:
    """``grpc.insecure_channel`` and ``grpc.secure_channel``."""

    def wrapper(target: Any, *args: Any, **kwargs: Any) -> Any:
        made = original(target, *args, **kwargs)
        try:
            from pitviper.integrations.grpc.client import Interceptor

            return sys.modules["grpc"].intercept_channel(made, Interceptor(target))
        except Exception as error:
            internal_error(error)
            return made

    return wrapper


def server(original: Callable[..., Any]) -> Callable[..., Any]:
    """``grpc.server(thread_pool, handlers, interceptors, ...)``."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            from pitviper.integrations.grpc.server import Interceptor

            args, kwargs = _added(args, kwargs, 2, [Interceptor()])
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper


def aio_insecure_channel(original: Callable[..., Any]) -> Callable[..., Any]:
    """``grpc.aio.insecure_channel(target, options, compression, interceptors)``."""
    return _aio_channel(original, 3)


def aio_secure_channel(original: Callable[..., Any]) -> Callable[..., Any]:
    """``grpc.aio.secure_channel(target, credentials, options, compression, interceptors)``."""
    return _aio_channel(original, 4)


def _aio_channel(original: Callable[..., Any], position: int) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            from pitviper.integrations.grpc.aio_client import interceptors

            target = args[0] if args else kwargs.get("target")
            args, kwargs = _added(args, kwargs, position, interceptors(target))
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper


def aio_server(original: Callable[..., Any]) -> Callable[..., Any]:
    """``grpc.aio.server(migration_thread_pool, handlers, interceptors, ...)``."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            from pitviper.integrations.grpc.aio_server import Interceptor

            args, kwargs = _added(args, kwargs, 2, [Interceptor()])
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper


def _added(
    args: "tuple[Any, ...]", kwargs: "dict[str, Any]", position: int, ours: "list[Any]"
) -> "tuple[tuple[Any, ...], dict[str, Any]]":
    """The arguments with interceptors before the application's, which are given by place or by name."""
    if len(args) > position:
        return (*args[:position], [*ours, *(args[position] or ())], *args[position + 1 :]), kwargs
    return args, {**kwargs, "interceptors": [*ours, *(kwargs.get("interceptors") or ())]}
