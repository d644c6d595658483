"""WSGI: a server span for each request, from its first byte to the last byte of the response.

Servers and frameworks build on this one: whichever sees the request first owns its span, so a
Flask application under gunicorn has one server span. Nothing is patched by this integration alone;
an application of your own is wrapped with ``pitviper.integrations.wsgi.patches.traced(app)``.
"""

from pitviper.instrument import Integration, SpanShape
from pitviper.integrations._server_options import ATTRIBUTES, OPTIONS

INTEGRATION = Integration(
    "wsgi",
    patches=(),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            ATTRIBUTES,
            "from the call of the application to the close of the response; `{method}` while no framework "
            "told the route",
        ),
    ),
    options=OPTIONS,
)
