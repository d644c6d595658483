"""Wraps the making of records, and of lines from them."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations._log import NONE, also
from pitviper.integrations.logging import INTEGRATION


def make_record(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Logger.makeRecord``; after the application's ``extra``, which must not name what is there before."""
    mark = _native.mark_record

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = original(self, *args, **kwargs)
        try:
            mark(record)
            for add in also:
                add(record)
        except Exception as error:
            internal_error(error)
        return record

    return wrapper


def format_message(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Formatter.formatMessage``: a line without the exception that may follow."""
    if not option(INTEGRATION, "append"):
        return original

    def wrapper(self: Any, record: Any) -> Any:
        line = original(self, record)
        try:
            trace_id = record.__dict__.get("otelTraceID", NONE)
            if trace_id != NONE and isinstance(line, str) and trace_id not in line:
                return f"{line} trace_id={trace_id} span_id={record.otelSpanID}"
        except Exception as error:
            internal_error(error)
        return line

    return wrapper
