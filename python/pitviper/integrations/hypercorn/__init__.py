"""Hypercorn: the server span of each request and websocket, for any ASGI or WSGI application.

See the integrations ``asgi`` and ``wsgi`` for the spans.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "hypercorn",
    distribution="hypercorn",
    minimum=(0, 14),
    patches=(
        Patch("hypercorn.app_wrappers:ASGIWrapper.__init__", "asgi"),
        Patch("hypercorn.app_wrappers:WSGIWrapper.__init__", "wsgi"),
        Patch("hypercorn.run:_populate", "main", optional=True),
    ),
)
