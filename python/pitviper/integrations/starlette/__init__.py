"""Starlette: requests named by their route, spans for endpoints and background tasks, websockets.

The server span is the one of the ASGI server when that is instrumented, else the application's own; see
the integration ``asgi``. Applications that are mounted are part of the same request, and their routes
begin with where they are mounted. Below a mount that matched no route of its own, the route is the
mount's, such as ``/static/{path}``.

An endpoint is a child span; sync ones run in their thread with the request's span current. A background
task is a child of its request's span, which has ended by then. Exceptions are recorded once, where they
leave the endpoint or the task. ``HTTPException`` below 500 is an answer, no error.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "starlette",
    distribution="starlette",
    minimum=(0, 21),
    patches=(
        Patch("starlette.applications:Starlette.__call__", "call"),
        Patch("starlette.routing:Route.handle", "route_handle"),
        Patch("starlette.routing:WebSocketRoute.handle", "route_handle"),
        Patch("starlette.routing:Mount.handle", "mount_handle"),
        Patch("starlette.routing:request_response", "request_response"),
        Patch("starlette.endpoints:HTTPEndpoint.dispatch", "dispatch"),
        Patch("starlette.background:BackgroundTask.__call__", "background"),
    ),
    spans=(
        SpanShape(
            "{module}.{function}",
            "internal",
            "code.function.name code.file.path code.line.number",
            "the endpoint, without what is sent after it returned",
        ),
        SpanShape(
            "background {module}.{function}",
            "internal",
            "code.function.name code.file.path code.line.number",
            "a background task",
        ),
    ),
)
