"""Pyramid: requests named by their route.

The server span is the one of the WSGI server when that is instrumented, else Pyramid's own; see the
integration ``wsgi``. Requests that traversal answers have no route. An exception that becomes a 5xx is
recorded, also when an exception view answers; ``HTTPException`` below 500 is an answer.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "pyramid",
    distribution="pyramid",
    minimum=(1, 10),
    patches=(
        Patch("pyramid.router:Router.__call__", "call"),
        Patch("pyramid.router:Router.handle_request", "handle_request"),
    ),
)
