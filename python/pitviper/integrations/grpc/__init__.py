"""grpc: a span for each call, at the client and at the server, in threads and in asyncio.

Covers all four kinds of calls of channels and servers that are made through `grpc` and `grpc.aio`; the
trace travels in the metadata. A call's span lasts until its last message or its status: at the client
until the call is over, at the server until the handler has returned or its stream has ended. A status
other than OK is a failed call at the client; at the server only what is the server's fault is:
UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS. `context.abort` is no
exception.
"""

from pitviper.instrument import Integration, Patch, SpanShape

_ATTRIBUTES = "rpc.system rpc.service rpc.method rpc.grpc.status_code error.type"

INTEGRATION = Integration(
    "grpc",
    distribution="grpcio",
    minimum=(1, 42),
    patches=(
        Patch("grpc:insecure_channel", "channel"),
        Patch("grpc:secure_channel", "channel"),
        Patch("grpc:server", "server"),
        Patch("grpc.aio:insecure_channel", "aio_insecure_channel"),
        Patch("grpc.aio:secure_channel", "aio_secure_channel"),
        Patch("grpc.aio:server", "aio_server"),
    ),
    spans=(
        SpanShape("{service}/{method}", "client", f"{_ATTRIBUTES} server.address server.port", "one call"),
        SpanShape("{service}/{method}", "server", _ATTRIBUTES, "one call that is handled"),
    ),
)
