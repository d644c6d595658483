"""Wraps the application uvicorn loads."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations.asgi.patches import traced

_SCOPE = "pitviper.uvicorn"


def load(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Config.load``: sets ``self.loaded_app``."""

    def wrapper(self: Any) -> Any:
        result = original(self)
        try:
            application = self.loaded_app
            if type(application).__name__ == "ProxyHeadersMiddleware":
                application.app = traced(application.app, _SCOPE)
            else:
                self.loaded_app = traced(application, _SCOPE)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper
