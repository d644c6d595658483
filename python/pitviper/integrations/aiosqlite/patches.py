"""Wraps the method that hands work to a connection's thread."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations import _link


def execute(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Connection._execute``."""

    async def wrapper(self: Any, fn: Any, *args: Any, **kwargs: Any) -> Any:
        linked = fn
        try:
            carry = _link.carried()
            if carry is not None:
                linked = _link.bound(carry, fn)
        except Exception as error:
            internal_error(error)
        return await original(self, linked, *args, **kwargs)

    return wrapper
