"""Wraps the method through which records reach a handler, in the thread that logs."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._log import added


def emit(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Handler.emit``; each handler is given the same record."""

    def wrapper(self: Any, record: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            # This record's own: loguru makes a new one of what is bound each time.
            extra = record["extra"]
            for key, value in added().items():
                extra.setdefault(key, value)
        except Exception as error:
            internal_error(error)
        return original(self, record, *args, **kwargs)

    return wrapper
