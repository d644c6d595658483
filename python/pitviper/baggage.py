"""Baggage: what an application passes along with a request through all the services that it reaches.

What came with a request is there in everything that is done for it, and goes on with its calls::

    from pitviper import baggage

    baggage.set("tenant", "acme")
    baggage.get("tenant")

What is set or removed holds from then on for the span that is current, in this thread or task, and for all
spans that begin below it. It is sent to every service that is called, in clear text: put no secrets there.
An application that uses ``opentelemetry.baggage`` sees and changes the same.

There is room for 64 entries and 8,192 bytes, encoded; what has no room is left out, and counted as
``dropped_baggage`` in ``pitviper._native.stats()``.
"""

from pitviper import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

__all__ = ["clear", "get", "get_all", "remove", "set"]


def get(key: str) -> "Optional[str]":
    """The value of a key, or None."""
    return _native.get_baggage().get(key)


def get_all() -> "dict[str, str]":
    """All keys and values; changing this changes nothing else."""
    return _native.get_baggage()


def set(key: str, value: str) -> None:
    """Gives a key a value. It may be any text; an empty key is left out."""
    _native.set_baggage({**_native.get_baggage(), key: value})


def remove(key: str) -> None:
    """Removes a key, if it is there."""
    members = _native.get_baggage()
    if members.pop(key, None) is not None:
        _native.set_baggage(members)


def clear() -> None:
    """Removes all keys."""
    if _native.get_baggage():
        _native.set_baggage({})
