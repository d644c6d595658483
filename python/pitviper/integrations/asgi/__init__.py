"""ASGI: a server span for each request and each websocket.

Servers and frameworks build on this one: whichever sees the request first owns its span, so a
Starlette application under uvicorn has one server span. A request lasts to the last byte of its
response; what runs after that, such as background tasks, belongs to its trace, not to its duration. A
websocket lasts as long as its connection. Lifespan events are not traced. A client that goes away, and a
task that is cancelled, are no errors: a cancelled request has the event ``cancelled``.

Nothing is patched by this integration alone; an application of your own is wrapped with
``pitviper.integrations.asgi.patches.traced(app)``.
"""

from pitviper.instrument import Integration, SpanShape
from pitviper.integrations._server_options import ATTRIBUTES, OPTIONS

INTEGRATION = Integration(
    "asgi",
    patches=(),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            ATTRIBUTES,
            "from the call of the application to the last part of the response; `{method}` while no framework "
            "told the route",
        ),
        SpanShape(
            "WEBSOCKET {route}",
            "server",
            ATTRIBUTES
            + " network.protocol.name websocket.close_code websocket.messages_received websocket.messages_sent",
            "from the handshake to the end of the connection; the status is 101 once it was accepted",
        ),
    ),
    options=OPTIONS,
)
