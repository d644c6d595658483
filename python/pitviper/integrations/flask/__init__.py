"""Flask: requests named by their route, a span for each view function, exceptions with their stack.

The server span is the one of the WSGI server when that is instrumented, else Flask's own (``flask
run``, the test client, any other server); see the integration ``wsgi``. The view function is a child
span named ``module.function`` with ``code.function.name``; functions registered with
``before_request`` run directly below the server span. An exception that becomes a 500 is recorded
once, with its stack and causes. ``abort(404)`` and its like are no errors.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "flask",
    distribution="flask",
    minimum=(1, 1),
    patches=(
        Patch("flask.app:Flask.__call__", "call"),
        Patch("flask.app:Flask.full_dispatch_request", "full_dispatch_request"),
        Patch("flask.app:Flask.dispatch_request", "dispatch_request"),
        Patch("flask.app:Flask.handle_exception", "handle_exception"),
    ),
)
