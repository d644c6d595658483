"""Exact waits for locks: each is measured, instead of what the sampler sees of it.

Locks that are made from then on know how long they are waited for and held. What waits for a condition, and so for
semaphores, events and queues, or for a lock of asyncio, is measured in the methods that wait: those classes stay what
they are. Off by default, as each use of a lock then costs a little.
"""

import sys
from functools import update_wrapper, wraps
from time import perf_counter_ns

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument.engine import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    _Method = Callable[..., Any]

#: asyncio's modules, their classes, and the methods of these that wait.
_ASYNCIO: "dict[str, dict[str, tuple[str, ...]]]" = {
    "asyncio.locks": {
        "Lock": ("acquire",),
        "Semaphore": ("acquire",),
        "Condition": ("wait",),
        "Event": ("wait",),
    },
    "asyncio.queues": {"Queue": ("get", "put", "join")},
}

_wanted = False
#: What is in place: whose attribute, its name, ours, and what was there.
_replaced: "list[tuple[Any, str, Any, Any]]" = []


def start() -> None:
    """Begins, with the modules that are there now and those that come. Locks that exist already are not counted."""
    global _wanted
    if _wanted:
        return
    _wanted = True
    when_imported("threading", _in_threading)
    for module in _ASYNCIO:
        when_imported(module, lambda module=module: _in_asyncio(module))


def stop() -> None:
    """Ends. Locks that were made meanwhile go on to work."""
    global _wanted
    _wanted = False
    while _replaced:
        owner, name, ours, original = _replaced.pop()
        # What somebody has put in its place since then stays.
        if owner.__dict__.get(name) is ours:
            setattr(owner, name, original)


def _in_threading() -> None:
    if _wanted:
        import threading

        _replace(threading, "Lock", _lock)
        _replace(threading, "RLock", _rlock)
        _replace(threading.Condition, "wait", _waits)


def _in_asyncio(module: str) -> None:
    if _wanted:
        for name, methods in _ASYNCIO[module].items():
            owner: Any = getattr(sys.modules[module], name)
            for method in methods:
                _replace(owner, method, lambda original, name=name: _waits_in_task(original, f"asyncio.{name}"))
        if module == "asyncio.locks":
            _replace(sys.modules[module].Lock, "release", _releases)


def _replace(owner: "Any", name: str, wrapper: "Callable[[Any], Any]") -> None:
    if any(known is owner and attribute == name for known, attribute, _, _ in _replaced):
        # Begun, ended and begun again before the module came.
        return
    original: Any = owner.__dict__[name]
    ours = wrapper(original)
    _replaced.append((owner, name, ours, original))
    setattr(owner, name, ours)


class _LockType(type):
    """The class of ``threading.Lock`` where that is one (Python 3.13): what it makes are not its instances, and those
    that were made before are."""

    _original: "Any"

    def __call__(cls, *args: "Any", **kwargs: "Any") -> "Any":
        return _native.ExactLock(cls._original(*args, **kwargs))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._original)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls._original)


def _refuse(cls: type) -> None:
    raise TypeError("type '_thread.lock' is not an acceptable base type")


def _lock(original: "Any") -> "Any":
    if isinstance(original, type):
        return _LockType(
            original.__name__,
            (),
            {
                "__module__": original.__module__,
                "__doc__": original.__doc__,
                "__init_subclass__": classmethod(_refuse),
                "_original": original,
            },
        )
    return _Function(original)


class _Function:
    """What ``threading.Lock`` is before Python 3.13: a function that is no method of a class which has it as an
    attribute, as one that is written in Python would be."""

    def __init__(self, original: "Callable[..., Any]") -> None:
        update_wrapper(self, original)
        self._original = original

    def __call__(self, *args: "Any", **kwargs: "Any") -> "Any":
        return _native.ExactLock(self._original(*args, **kwargs))

    def __repr__(self) -> str:
        return repr(self._original)


def _rlock(original: "Any") -> "Any":
    return _makes(original, _native.ExactRLock)


def _makes(original: "Callable[..., Any]", stand_in: "Callable[[Any], Any]") -> "Any":
    @wraps(original)
    def make(*args: "Any", **kwargs: "Any") -> "Any":
        return stand_in(original(*args, **kwargs))

    return make


def _waits(original: "_Method") -> "_Method":
    @wraps(original)
    def wait(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        began = perf_counter_ns()
        try:
            return original(self, *args, **kwargs)
        finally:
            _tell("threading.Condition", getattr(self, "_lock", None), perf_counter_ns() - began)

    return wait


def _waits_in_task(original: "_Method", kind: str) -> "_Method":
    holds = kind == "asyncio.Lock"

    @wraps(original)
    async def wait(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        began = perf_counter_ns()
        try:
            done = await original(self, *args, **kwargs)
        finally:
            now = perf_counter_ns()
            _tell(kind, None, now - began)
        if holds:
            self._pitviper_since = now
        return done

    return wait


def _releases(original: "_Method") -> "_Method":
    @wraps(original)
    def release(self: "Any") -> "Any":
        since: Optional[int] = self.__dict__.pop("_pitviper_since", None)
        if since is not None:
            _tell("asyncio.Lock", None, perf_counter_ns() - since, is_held=True)
        return original(self)

    return release


def _tell(kind: str, lock: "Any", time_ns: int, is_held: bool = False) -> None:
    try:
        _native.told_lock(kind, lock, time_ns, is_held)
    except Exception as error:
        internal_error(error)
