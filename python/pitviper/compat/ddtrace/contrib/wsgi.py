"""``DDWSGIMiddleware``: the agent traces WSGI applications where they are served, so this one only passes on."""

from typing import Any


class DDWSGIMiddleware:
    """Calls the application; its requests are traced with or without it.

    Args:
        application: The application.
        *arguments: Accepted.
        **options: Accepted.
    """

    def __init__(self, application: Any, *arguments: Any, **options: Any) -> None:
        self.app = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.app(environ, start_response)
