"""httpx: a client span for each request that is sent, with the trace context sent along.

Covers `Client` and `AsyncClient`, HTTP/2, streaming, proxies, and any transport, also one that calls an
application in the same process. Redirects and answers to a challenge are requests of their own, with
`http.request.resend_count`. The span ends with the headers of the response; a body that is streamed is
the application's time.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "httpx",
    distribution="httpx",
    minimum=(0, 20),
    patches=(
        Patch("httpx._client:Client._send_handling_auth", "send"),
        Patch("httpx._client:Client._send_single_request", "send_single_request"),
        Patch("httpx._client:AsyncClient._send_handling_auth", "send_async"),
        Patch("httpx._client:AsyncClient._send_single_request", "send_single_request_async"),
    ),
    spans=(
        SpanShape(
            "{method}",
            "client",
            "http.request.method http.request.method_original url.full server.address server.port "
            "http.request.resend_count http.response.status_code network.protocol.version error.type",
            "one request, from before the connection is taken to the headers of its response",
        ),
    ),
)
