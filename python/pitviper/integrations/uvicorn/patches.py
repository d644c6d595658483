"""Wraps the application uvicorn loads, and the end of a server."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import exit_timeout_ms
from pitviper.integrations._worker_names import named
from pitviper.integrations.asgi.patches import traced
from pitviper.runtime import name_worker

_SCOPE = "pitviper.uvicorn"


def load(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Config.load``: sets ``self.loaded_app``."""

    def wrapper(self: Any) -> Any:
        result = original(self)
        try:
            # One of several, when it is started by the process below.
            name_worker("uvicorn")
            application = self.loaded_app
            if type(application).__name__ == "ProxyHeadersMiddleware":
                application.app = traced(application.app, _SCOPE)
            else:
                self.loaded_app = traced(application, _SCOPE)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def shutdown(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Server.shutdown``: returns when the last request has been served."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return await original(*args, **kwargs)
        finally:
            try:
                # Nothing else runs on the loop any more that this could hold up.
                _native.flush_once(exit_timeout_ms())
            except Exception as error:
                internal_error(error)

    return wrapper


#: ``Multiprocess.run``: the process that starts the workers and waits for them.
main = named("uvicorn", "main")
