"""Says of a process what it is to the server whose function it runs."""

from typing import Any, Callable, Optional

from pitviper._guard import internal_error
from pitviper.runtime import name_worker

_Call = Callable[..., Any]


def named(kind: str, name: Optional[str] = None) -> "Callable[[_Call], _Call]":
    """A factory for what a process runs as long as it lives; ``kind`` and ``name`` are those of
    :func:`pitviper.runtime.name_worker`."""

    def factory(original: _Call) -> _Call:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                name_worker(kind, name)
            except Exception as error:
                internal_error(error)
            return original(*args, **kwargs)

        return wrapper

    return factory
