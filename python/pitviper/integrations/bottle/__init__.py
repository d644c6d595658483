"""Bottle: requests named by their route.

The server span is the one of the WSGI server when that is instrumented, else Bottle's own; see the
integration ``wsgi``. It carries the name of the callback. Routes of mounted applications begin with where
they are mounted. An exception that becomes a 500 is recorded; ``abort(404)`` and its like are answers.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "bottle",
    distribution="bottle",
    minimum=(0, 12),
    patches=(
        Patch("bottle:Bottle.__call__", "call"),
        Patch("bottle:Bottle._handle", "handle_request"),
    ),
    spans=(
        SpanShape(
            "{method} {route}",
            "server",
            "code.function.name code.file.path code.line.number",
            "the request, as `wsgi` describes it; these attributes are added",
        ),
    ),
)
