"""Wraps the one method through which events reach the processors."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._log import ids


def process_event(original: Callable[..., Any]) -> Callable[..., Any]:
    """``BoundLoggerBase._process_event(method_name, event, event_kw)``."""

    def wrapper(self: Any, method_name: Any, event: Any, event_kw: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            found = ids()
            if found is not None:
                bound = getattr(self, "_context", ())
                added = {"trace_id": found[0], "span_id": found[1]}
                event_kw = {**{key: value for key, value in added.items() if key not in bound}, **event_kw}
        except Exception as error:
            internal_error(error)
        return original(self, method_name, event, event_kw, *args, **kwargs)

    return wrapper
