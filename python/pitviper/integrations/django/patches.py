"""Wrappers for Django's handlers, views and middleware."""

import functools
import re
import sys
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations._calls import failed, is_coroutine_function, traced_function
from pitviper.integrations._server import INTERNAL, ServerRequest, request_of
from pitviper.integrations.asgi.patches import handle as handle_asgi
from pitviper.integrations.django import INTEGRATION
from pitviper.integrations.wsgi.patches import handle as handle_wsgi

_SCOPE = "pitviper.django"

Method = Callable[..., Any]


def wsgi_call(original: Method) -> Method:
    """``WSGIHandler.__call__``."""

    def wrapper(self: Any, environ: Any, start_response: Any) -> Any:
        if request_of(environ) is not None:
            return original(self, environ, start_response)
        return handle_wsgi(original.__get__(self), environ, start_response, _SCOPE)

    return wrapper


def asgi_call(original: Method) -> Method:
    """``ASGIHandler.__call__``."""

    async def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await handle_asgi(original.__get__(self), scope, receive, send, _SCOPE)

    return wrapper


def _request_of(request: Any) -> Optional[ServerRequest]:
    """The span's side of a Django request; None for one that no server made."""
    environ = getattr(request, "environ", None)
    return request_of(getattr(request, "scope", None) if environ is None else environ)


def resolve_request(original: Method) -> Method:
    """``BaseHandler.resolve_request``: finds the view."""

    def wrapper(self: Any, request: Any) -> Any:
        match = original(self, request)
        try:
            found = _request_of(request)
            if found is not None:
                route: str = match.route
                if "^" in route:
                    route = _readable(route)
                found.matched(f"{found.prefix}/{route}")
        except Exception as error:
            internal_error(error)
        return match

    return wrapper


#: What a regular expression is anchored with; not the ^ that begins a character class.
_ANCHORS = re.compile(r"(?<!\[)\^|\$$|\\Z$")


def _readable(route: str) -> str:
    """The route of a ``re_path``, also below others, without its anchors."""
    return _ANCHORS.sub("", route)


def _is_answer(error: BaseException) -> bool:
    return isinstance(error, _answers())


@functools.cache
def _answers() -> "tuple[type, ...]":
    """The exceptions that Django turns into a status below 500."""
    known = {
        "django.core.exceptions": ("PermissionDenied", "SuspiciousOperation", "BadRequest"),
        "django.http": ("Http404",),
        "django.http.multipartparser": ("MultiPartParserError",),
    }
    found = [getattr(sys.modules[module], name, None) for module, names in known.items() for name in names]
    return tuple(kind for kind in found if kind is not None)


def make_view_atomic(original: Method) -> Method:
    """``BaseHandler.make_view_atomic``: the last that happens to a view before it is called."""

    def wrapper(self: Any, view: Any) -> Any:
        callback = original(self, view)
        try:
            # Class-based views of Django, and those of Django REST framework.
            shown = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
            return traced_function(callback, _SCOPE, _of_first, shown, _is_answer)
        except Exception as error:
            internal_error(error)
            return callback

    return wrapper


def _of_first(args: "tuple[Any, ...]") -> Optional[ServerRequest]:
    """The request that a view or middleware was called with; without one there is no span."""
    return _request_of(args[0]) if args else None


def handle_uncaught_exception(original: Method) -> Method:
    """``handle_uncaught_exception``: an exception becomes a 500."""

    def wrapper(request: Any, resolver: Any, exc_info: Any) -> Any:
        try:
            found = _request_of(request)
            if found is not None:
                found.fail(exc_info[1])
        except Exception as error:
            internal_error(error)
        return original(request, resolver, exc_info)

    return wrapper


def import_middleware(original: Method) -> Method:
    """``import_string`` as ``BaseHandler.load_middleware`` calls it, for middleware and nothing else."""
    if not option(INTEGRATION, "middleware"):
        return original

    def wrapper(dotted_path: str) -> Any:
        factory = original(dotted_path)
        try:
            return _traced_class(factory) if isinstance(factory, type) else _traced_factory(factory)
        except Exception as error:
            internal_error(error)
            return factory

    return wrapper


def _traced_class(base: Any) -> type:
    """A subclass that looks like its base, and whose calls have spans."""

    def __call__(self: Any, request: Any) -> Any:
        if is_coroutine_function(self):
            return asynchronous(self, request)
        return synchronous(self, request)

    async def awaited(self: Any, request: Any) -> Any:
        return await base.__call__(self, request)

    synchronous = traced_function(base.__call__, _SCOPE, _of_second, base, _is_answer)
    asynchronous = traced_function(awaited, _SCOPE, _of_second, base, _is_answer)
    namespace: dict[str, Any] = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base.__name__, (base,), {**namespace, "__doc__": base.__doc__, "__call__": __call__})


def _of_second(args: "tuple[Any, ...]") -> Optional[ServerRequest]:
    return _of_first(args[1:])


def _traced_factory(factory: Any) -> Any:
    def traced_factory(get_response: Any) -> Any:
        middleware = factory(get_response)
        if middleware is None:
            return None
        return traced_function(middleware, _SCOPE, _of_first, factory, _is_answer)

    return functools.update_wrapper(traced_factory, factory)


def render(original: Method) -> Method:
    """``Template.render``, which also included templates go through."""
    if not option(INTEGRATION, "templates"):
        return original

    def wrapper(self: Any, context: Any) -> Any:
        span: Optional[_native.Span] = None
        try:
            if context.template is None:
                name = self.name or "<string>"
                attributes: dict[str, object] = {"template.name": name}
                span = _native.start_as_current_span(f"render {name}", INTERNAL, attributes, None, None, None, _SCOPE)
        except Exception as error:
            internal_error(error)
        if span is None:
            return original(self, context)
        try:
            return original(self, context)
        except BaseException as error:
            failed(span, error)
            raise
        finally:
            span.end()

    return wrapper


#: Operations of a cache that have spans; their asynchronous forms have an ``a`` before them.
_OPERATIONS = ("get", "set", "add", "delete", "touch", "incr", "get_many", "set_many", "delete_many", "clear")

_cache_classes: "dict[type, type]" = {}


def create_cache(original: Method) -> Method:
    """``CacheHandler.create_connection``: makes the object that stands for a cache in one thread."""
    if not option(INTEGRATION, "cache"):
        return original

    def wrapper(self: Any, alias: str) -> Any:
        cache = original(self, alias)
        try:
            kind: Any = cache.__class__
            cache.__class__ = _traced_cache(kind)
        except Exception as error:
            internal_error(error)
        return cache

    return wrapper


def _traced_cache(base: type) -> type:
    """A subclass that looks like its base, and whose operations have spans."""
    found = _cache_classes.get(base)
    if found is None:
        namespace: dict[str, Any] = {"__qualname__": base.__qualname__, "__doc__": base.__doc__}
        for operation in _OPERATIONS:
            for method in (operation, f"a{operation}"):
                function = getattr(base, method, None)
                # What all caches inherit calls other operations, which have the spans.
                if function is not None and not function.__qualname__.startswith("BaseCache."):
                    namespace[method] = _traced_operation(function, operation, base.__name__)
        found = _cache_classes[base] = type(base.__name__, (base,), {**namespace, "__module__": base.__module__})
    return found


def _traced_operation(function: Any, operation: str, backend: str) -> Any:
    name = f"cache {operation}"
    attributes: dict[str, object] = {"cache.operation": operation, "cache.backend": backend}

    def start() -> Optional[_native.Span]:
        try:
            return _native.start_as_current_span(name, INTERNAL, attributes, None, None, None, _SCOPE)
        except Exception as error:
            internal_error(error)
            return None

    def note(span: _native.Span, args: "tuple[Any, ...]", kwargs: "dict[str, Any]", result: Any) -> None:
        try:
            if operation == "get":
                default = args[_DEFAULT_POSITION] if len(args) > _DEFAULT_POSITION else kwargs.get("default")
                span.set_attribute("cache.hit", result is not default)
        except Exception as error:
            internal_error(error)

    if is_coroutine_function(function):

        async def asynchronous(*args: Any, **kwargs: Any) -> Any:
            span = start()
            if span is None:
                return await function(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
                note(span, args, kwargs, result)
                return result
            except BaseException as error:
                failed(span, error)
                raise
            finally:
                span.end()

        return functools.update_wrapper(asynchronous, function)

    def synchronous(*args: Any, **kwargs: Any) -> Any:
        span = start()
        if span is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
            note(span, args, kwargs, result)
            return result
        except BaseException as error:
            failed(span, error)
            raise
        finally:
            span.end()

    return functools.update_wrapper(synchronous, function)


#: Position of ``default`` among the arguments of ``get``, after the cache and the key.
_DEFAULT_POSITION = 2
