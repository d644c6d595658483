"""Wraps the application Hypercorn serves."""

from typing import Any, Callable

from pitviper.integrations.asgi.patches import traced as traced_asgi
from pitviper.integrations.wsgi.patches import traced as traced_wsgi

_SCOPE = "pitviper.hypercorn"

Method = Callable[..., Any]


def asgi(original: Method) -> Method:
    """``ASGIWrapper.__init__``."""

    def wrapper(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, traced_asgi(app, _SCOPE), *args, **kwargs)

    return wrapper


def wsgi(original: Method) -> Method:
    """``WSGIWrapper.__init__``."""

    def wrapper(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, traced_wsgi(app, _SCOPE), *args, **kwargs)

    return wrapper
