"""Wraps the application Hypercorn serves."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._worker_names import named
from pitviper.integrations.asgi.patches import traced as traced_asgi
from pitviper.integrations.wsgi.patches import traced as traced_wsgi
from pitviper.runtime import name_worker

_SCOPE = "pitviper.hypercorn"

Method = Callable[..., Any]


#: ``_populate``: starts the workers, in the process that waits for them.
main = named("hypercorn", "main")


def _name() -> None:
    try:
        name_worker("hypercorn")
    except Exception as error:
        internal_error(error)


def asgi(original: Method) -> Method:
    """``ASGIWrapper.__init__``."""

    def wrapper(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, traced_asgi(app, _SCOPE), *args, **kwargs)
        _name()

    return wrapper


def wsgi(original: Method) -> Method:
    """``WSGIWrapper.__init__``."""

    def wrapper(self: Any, app: Any, *args: Any, **kwargs: Any) -> None:
        original(self, traced_wsgi(app, _SCOPE), *args, **kwargs)
        _name()

    return wrapper
