"""Tornado: a server span for each request and websocket, named by its route.

A request lasts until it is finished; what a handler does after ``finish()`` belongs to its trace, not to
its duration. The route is the regular expression that the path matched, without its anchors. The span
carries the name of the handler class. An exception that becomes a 500 is recorded; ``HTTPError`` below 500
and ``Finish`` are answers.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._server_options import ATTRIBUTES, OPTIONS

INTEGRATION = Integration(
    "tornado",
    distribution="tornado",
    minimum=(6, 0),
    patches=(
        Patch("tornado.web:RequestHandler._execute", "execute"),
        Patch("tornado.web:RequestHandler.finish", "finish"),
        Patch("tornado.web:RequestHandler._handle_request_exception", "handle_exception"),
        Patch("tornado.routing:PathMatches.match", "match"),
    ),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            f"{ATTRIBUTES} code.function.name",
            "from the call of the handler to `finish()`; a websocket, whose method is `WEBSOCKET`, to its close",
        ),
    ),
    options=OPTIONS,
)
