"""WSGI: a server span for each request, from its first byte to the last byte of the response.

Servers and frameworks build on this one: whichever sees the request first owns its span, so a
Flask application under gunicorn has one server span. Nothing is patched by this integration alone;
an application of your own is wrapped with ``pitviper.integrations.wsgi.patches.traced(app)``.

Span: ``{method} {route}``, or ``{method}`` while no framework told the route. Attributes:
http.request.method, url.scheme, url.path, url.query (masked), http.route,
http.response.status_code, server.address, server.port, client.address, user_agent.original,
network.protocol.version, error.type.
"""

from pitviper.instrument import Integration

INTEGRATION = Integration("wsgi", patches=())
