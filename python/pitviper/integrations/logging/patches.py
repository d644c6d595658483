"""Wraps the making of records, and of lines from them."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations._log import NONE, also
from pitviper.integrations.logging import INTEGRATION

#: Flags of a function's code, ``CO_VARARGS`` and ``CO_VARKEYWORDS`` of ``inspect``, which takes long to import.
_VARIABLE = 0x04 | 0x08
#: The parameters of logging's own ``makeRecord``, which a call can be handed on by without a tuple and a mapping.
_PARAMETERS = ("self", "name", "level", "fn", "lno", "msg", "args", "exc_info", "func", "extra", "sinfo")


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

    def usual(
        self: Any, name: Any, level: Any, fn: Any, lno: Any, msg: Any, args: Any, exc_info: Any,
        func: Any = None, extra: Any = None, sinfo: Any = None,
    ) -> Any:  # fmt: skip
        record = original(self, name, level, fn, lno, msg, args, exc_info, func, extra, sinfo)
        try:
            mark(record)
            for add in also:
                add(record)
        except Exception as error:
            internal_error(error)
        return record

    return usual if _takes(original, _PARAMETERS) else wrapper


def _takes(function: Any, parameters: "tuple[str, ...]") -> bool:
    """Whether a function of Python's has these parameters, each to be given by position, and no others."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & _VARIABLE or code.co_posonlyargcount or code.co_kwonlyargcount:
        return False
    return code.co_varnames[: code.co_argcount] == parameters


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
