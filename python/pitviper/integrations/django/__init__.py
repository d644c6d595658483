"""Django, by WSGI and ASGI: requests named by their route, a span for each view, exceptions with their stack.

The server span is the one of the server when that is instrumented, else Django's own; see the
integrations ``wsgi`` and ``asgi``. Views may be functions, classes, or coroutines; a sync view under ASGI
runs in its thread below the same request. An exception that becomes a 500 is recorded once, where it
leaves the view or middleware; ``Http404``, ``PermissionDenied`` and their like are answers, no errors.

Queries are spans of the database's integration. Middleware, templates and the cache have spans when
options ask for them.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.settings import Setting, flag

INTEGRATION = Integration(
    "django",
    distribution="django",
    minimum=(3, 2),
    patches=(
        Patch("django.core.handlers.wsgi:WSGIHandler.__call__", "wsgi_call"),
        Patch("django.core.handlers.asgi:ASGIHandler.__call__", "asgi_call"),
        Patch("django.core.handlers.base:BaseHandler.resolve_request", "resolve_request"),
        Patch("django.core.handlers.base:BaseHandler.make_view_atomic", "make_view_atomic"),
        Patch("django.core.handlers.base:import_string", "import_middleware"),
        Patch("django.core.handlers.exception:handle_uncaught_exception", "handle_uncaught_exception"),
        Patch("django.template.base:Template.render", "render"),
        Patch("django.core.cache:CacheHandler.create_connection", "create_cache"),
    ),
    spans=(
        SpanShape(
            "{module}.{view}",
            "internal",
            "code.function.name code.file.path code.line.number",
            "the view: the function, or the method of the class; not what middleware does around it",
        ),
        SpanShape(
            "{module}.{middleware}",
            "internal",
            "code.function.name",
            "with `PITVIPER_DJANGO_MIDDLEWARE`: a middleware, and all that it calls",
        ),
        SpanShape(
            "render {template}",
            "internal",
            "template.name",
            "with `PITVIPER_DJANGO_TEMPLATES`: a template, with those that it includes and extends",
        ),
        SpanShape(
            "cache {operation}",
            "internal",
            "cache.operation cache.backend cache.hit",
            "with `PITVIPER_DJANGO_CACHE`: an operation on a cache; keys and values are not recorded",
        ),
    ),
    options=(
        Setting("middleware", False, flag, "PITVIPER_DJANGO_MIDDLEWARE", "Whether each middleware has a span."),
        Setting("templates", False, flag, "PITVIPER_DJANGO_TEMPLATES", "Whether each template rendered has a span."),
        Setting("cache", False, flag, "PITVIPER_DJANGO_CACHE", "Whether each operation on a cache has a span."),
    ),
)
