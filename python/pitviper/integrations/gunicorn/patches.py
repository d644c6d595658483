"""Wraps the application a gunicorn worker loads."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._worker_names import named
from pitviper.integrations.asgi.patches import traced as traced_asgi
from pitviper.integrations.wsgi.patches import traced as traced_wsgi
from pitviper.runtime import name_worker

_SCOPE = "pitviper.gunicorn"

#: gunicorn's worker classes that call a WSGI application. Who inherits from none of them, such as the
#: workers of uvicorn and aiohttp, serves by other means, and has an integration of its own.
_WSGI_WORKERS = frozenset(("SyncWorker", "ThreadWorker", "AsyncWorker", "TornadoWorker"))
_ASGI_WORKER = "ASGIWorker"


def load_wsgi(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Worker.load_wsgi``: sets ``self.wsgi``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        try:
            name_worker("gunicorn", str(self.age))
            kinds = {kind.__name__ for kind in type(self).__mro__ if kind.__module__.startswith("gunicorn.workers.")}
            if callable(getattr(self, "wsgi", None)):
                if kinds & _WSGI_WORKERS:
                    self.wsgi = traced_wsgi(self.wsgi, _SCOPE)
                elif _ASGI_WORKER in kinds:
                    self.wsgi = traced_asgi(self.wsgi, _SCOPE)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


#: ``Arbiter.run``: the master's loop.
master = named("gunicorn", "master")
