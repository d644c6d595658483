"""Wraps the application a gunicorn worker loads."""

from typing import Any, Callable

from pitviper.integrations.wsgi.patches import traced


def load_wsgi(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Worker.load_wsgi``: sets ``self.wsgi``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        # Workers for other protocols load something that is no WSGI application.
        if callable(getattr(self, "wsgi", None)) and "asgi" not in type(self).__module__:
            self.wsgi = traced(self.wsgi, "pitviper.gunicorn")
        return result

    return wrapper
