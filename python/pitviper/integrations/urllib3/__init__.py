"""urllib3: a client span for each request that is sent, with the trace context sent along.

Retries and redirects are requests of their own, with `http.request.resend_count`.
A request that requests, botocore or another traced client makes through urllib3 has that client's span.
When a proxy does not open a tunnel, the span of the attempt is named `CONNECT`.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._client_shape import CALL

INTEGRATION = Integration(
    "urllib3",
    distribution="urllib3",
    minimum=(1, 25),
    patches=(
        Patch("urllib3.connectionpool:HTTPConnectionPool.urlopen", "urlopen"),
        Patch("urllib3.connectionpool:HTTPConnectionPool._make_request", "make_request"),
        Patch("urllib3.connectionpool:HTTPSConnectionPool._prepare_proxy", "prepare_proxy"),
    ),
    spans=(
        CALL,
        SpanShape(
            "CONNECT",
            "client",
            "http.request.method server.address server.port error.type",
            "a tunnel through a proxy that could not be opened",
        ),
    ),
)
