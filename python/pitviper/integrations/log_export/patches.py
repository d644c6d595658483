"""Sends log records on their way to their handlers."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import current_config
from pitviper.signals import level_number


def call_handlers(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Logger.callHandlers``: gets each record that passed the logger's level and filters, once."""
    emit = _native.emit_record
    config = current_config()
    least = level_number(config) if config is not None else 0

    def wrapper(self: Any, record: Any) -> Any:
        try:
            if record.levelno >= least:
                emit(record)
        except Exception as error:
            internal_error(error)
        return original(self, record)

    return wrapper
