"""FastAPI: requests named by their route, routers included, and a span for each endpoint.

Builds on the integrations ``asgi`` and ``starlette``, which have the server span, websockets and
background tasks. The span of an endpoint covers the function, not the dependencies, validation and
serialisation around it: those are the request's own time. An exception is recorded once, where it leaves
the endpoint, or by the request when a dependency raised it. ``HTTPException`` below 500 is an answer.

FastAPI's own OpenTelemetry spans stay off where they would come to us a second time. Its metrics and log
records come as they do with any provider, but made here, which costs a tenth: `http.server.request.duration`,
`http.server.active_requests`, exceptions that nobody handled and requests that do not fit. Its
`get_telemetry_data()` then gives nothing. What it tells another provider, or leaves out by `exclude`, is left
alone.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "fastapi",
    distribution="fastapi",
    minimum=(0, 88),
    patches=(
        Patch("fastapi.routing:APIRoute.handle", "route_handle"),
        Patch("fastapi.routing:run_endpoint_function", "run_endpoint_function"),
        Patch("fastapi.routing:_validation_failed", "validation_failed", optional=True),
        Patch("fastapi.telemetry._asgi:NativeTelemetry.__call__", "native_telemetry", optional=True),
        Patch("fastapi.telemetry._asgi:NativeTelemetry.enabled", "enabled", optional=True),
        Patch("fastapi.telemetry._asgi:ExceptionTelemetryMiddleware.__call__", "outermost", optional=True),
        Patch("fastapi.telemetry._asgi:_exception", "exception", optional=True),
    ),
    spans=(
        SpanShape(
            "{module}.{function}",
            "internal",
            "code.function.name code.file.path code.line.number",
            "the endpoint, without dependencies and serialisation; that of a sync one, with the wait for its thread",
        ),
    ),
)
