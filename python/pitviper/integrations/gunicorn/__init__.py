"""gunicorn: the server span of each request a worker handles, for any WSGI application.

See the integration ``wsgi`` for the span. Works with every worker class that serves WSGI, and with
and without ``--preload``: the application is wrapped in the worker, after the fork.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "gunicorn",
    distribution="gunicorn",
    minimum=(19, 9),
    patches=(
        Patch("gunicorn.workers.base:Worker.load_wsgi", "load_wsgi"),
        Patch("gunicorn.arbiter:Arbiter.run", "master"),
    ),
)
