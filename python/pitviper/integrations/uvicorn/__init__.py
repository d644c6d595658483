"""uvicorn: the server span of each request and websocket, for any ASGI application.

See the integration ``asgi`` for the spans. The application is wrapped inside of uvicorn's own handling of
proxy headers, so with ``--proxy-headers`` the client's address and the scheme are those that trusted
proxies told. Works alone, with several workers, and as gunicorn's worker class.

A uvicorn that was asked to stop by a signal ends by that signal once it has served all requests, without
exit handlers. What waits is sent before, for three seconds at most (``PITVIPER_EXIT_TIMEOUT``).
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "uvicorn",
    distribution="uvicorn",
    minimum=(0, 15),
    patches=(
        Patch("uvicorn.config:Config.load", "load"),
        Patch("uvicorn.server:Server.shutdown", "shutdown"),
        Patch("uvicorn.supervisors.multiprocess:Multiprocess.run", "main", optional=True),
    ),
)
