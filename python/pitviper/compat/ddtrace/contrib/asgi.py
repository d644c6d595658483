"""``TraceMiddleware``: the agent traces ASGI applications where they are served, so this one only passes on."""

from typing import Any


class TraceMiddleware:
    """Calls the application; its requests are traced with or without it.

    Args:
        app: The application.
        *arguments: Accepted.
        **options: Accepted.
    """

    def __init__(self, app: Any, *arguments: Any, **options: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return await self.app(scope, receive, send)
