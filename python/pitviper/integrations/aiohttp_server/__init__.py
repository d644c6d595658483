"""aiohttp's server: a server span for each request and websocket, named by its route.

A request lasts from when its head was read to the end of the response, streams and websockets included. It
carries the name of its handler; what the handler does is below it. The routes of sub-applications begin
with where they are added. An exception that becomes a 500 is recorded; ``HTTPException`` below 500 is an
answer. A client that goes away, and a handler that is cancelled then, are no errors.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._server_options import ATTRIBUTES, OPTIONS

INTEGRATION = Integration(
    "aiohttp_server",
    distribution="aiohttp",
    minimum=(3, 7),
    patches=(
        Patch("aiohttp.web_protocol:RequestHandler._handle_request", "handle_request"),
        Patch("aiohttp.web_protocol:RequestHandler.handle_error", "handle_error"),
        Patch("aiohttp.web_urldispatcher:UrlDispatcher.resolve", "resolve"),
    ),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            f"{ATTRIBUTES} code.function.name code.file.path code.line.number",
            "from the head of the request to the end of the response; a websocket, whose method is `WEBSOCKET`, "
            "to its close",
        ),
    ),
    options=OPTIONS,
)
