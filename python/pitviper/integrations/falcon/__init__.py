"""Falcon, by WSGI and ASGI: requests and websockets named by their route.

The server span is the one of the server when that is instrumented, else Falcon's own; see the integrations
``wsgi`` and ``asgi``. It carries the name of the responder; what the responder does is below it. An
exception that becomes a 5xx is recorded; ``HTTPError`` below 500 and ``HTTPStatus`` are answers.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "falcon",
    distribution="falcon",
    minimum=(3, 0),
    patches=(
        Patch("falcon.app:App.__call__", "wsgi_call"),
        Patch("falcon.app:App._get_responder", "get_responder"),
        Patch("falcon.app:App._handle_exception", "handle_exception"),
        Patch("falcon.asgi.app:App.__call__", "asgi_call"),
        Patch("falcon.asgi.app:App._handle_exception", "handle_exception_async"),
    ),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            "code.function.name code.file.path code.line.number",
            "the request, as `wsgi` and `asgi` describe it; these attributes are added",
        ),
    ),
)
