"""Wraps the one method through which events reach the processors."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._log import added


def process_event(original: Callable[..., Any]) -> Callable[..., Any]:
    """``BoundLoggerBase._process_event(method_name, event, event_kw)``."""

    def wrapper(self: Any, method_name: Any, event: Any, event_kw: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            fields = added()
            if fields:
                bound = getattr(self, "_context", ())
                event_kw = {**{key: value for key, value in fields.items() if key not in bound}, **event_kw}
        except Exception as error:
            internal_error(error)
        return original(self, method_name, event, event_kw, *args, **kwargs)

    return wrapper
