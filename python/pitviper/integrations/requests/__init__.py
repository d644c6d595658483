"""requests: a client span for each call, redirects included, with the trace context sent along.

Span: ``{method}``, kind client, from the first byte sent to the response's headers (or its body,
when requests reads it). Attributes: http.request.method, url.full (without credentials and secrets),
server.address, server.port, http.response.status_code, http.request.resend_count (redirects
followed), error.type. A status of 400 and above is a failed call.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "requests",
    distribution="requests",
    minimum=(2, 0),
    patches=(Patch("requests.sessions:Session.send", "send"),),
)
