"""Wrappers for the queues that SQLAlchemy's pools keep their connections in."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error

_SCOPE = "pitviper.sqlalchemy"
_INTERNAL = 1
#: A connection that comes sooner was not waited for. In nanoseconds.
_WORTH_TELLING = 1_000_000


def wait(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Queue.get(block, timeout)``."""

    def record(start: int, blocks: bool, error: Optional[BaseException] = None) -> None:
        try:
            if blocks and _native.now() - start >= _WORTH_TELLING:
                _native.finish_leaf("wait for connection", _INTERNAL, start, None, error, _SCOPE)
        except Exception as failure:
            internal_error(failure)

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Without leave to block the pool opens another connection.
        blocks = bool(args[0] if args else kwargs.get("block", True))
        start = _native.now()
        try:
            item = original(self, *args, **kwargs)
        except BaseException as error:
            record(start, blocks, error)
            raise
        record(start, blocks)
        return item

    return wrapper
