"""Adds the trace to the environment of child processes."""

import os
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations import _link
from pitviper.integrations._propagation import VARIABLES
from pitviper.integrations.subprocess import INTEGRATION

#: Position of ``env`` among the arguments of ``Popen``.
_ENV_POSITION = 10


def popen(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Popen.__init__``."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            args, kwargs = _with_trace(args, kwargs)
        except Exception as error:
            internal_error(error)
        return original(self, *args, **kwargs)

    return wrapper


def _with_trace(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "tuple[tuple[Any, ...], dict[str, Any]]":
    if _link.as_text() is None:
        return args, kwargs
    positional = len(args) > _ENV_POSITION
    given: Any = args[_ENV_POSITION] if positional else kwargs.get("env")
    environ: dict[Any, Any] = dict(os.environ if given is None else given)
    _native.inject_into(environ, None, VARIABLES, True)
    if positional:
        return (*args[:_ENV_POSITION], environ, *args[_ENV_POSITION + 1 :]), kwargs
    return args, {**kwargs, "env": environ}
