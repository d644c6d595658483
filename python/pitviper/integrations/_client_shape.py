"""What the span of an outgoing HTTP call looks like, for the declarations of all HTTP clients."""

from pitviper.instrument import SpanShape

CALL = SpanShape(
    "{method}",
    "client",
    "http.request.method http.request.method_original url.full server.address server.port "
    "http.request.resend_count http.response.status_code error.type",
    "one request, from before the connection is taken to the headers of its response",
)
