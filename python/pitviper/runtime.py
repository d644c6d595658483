"""What the agent measures of the process it is in, as far as only Python knows it.

CPU, memory and the like are read natively. Here are the watchers of event loops,
what kind of worker this process is, and the callbacks of observable instruments.
"""

import os
import sys

from pitviper import _native, garbage, profiles
from pitviper._guard import internal_error
from pitviper.config import Config
from pitviper.signals import reports_libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

#: How often an event loop is asked how late it is, in seconds.
LAG_PERIOD = 1.0

#: What runs the callbacks of one observable instrument.
_observers: "list[Callable[[], None]]" = []
_measures = False
#: The process that has said what it is; a child that is forked from it has not.
_named_in = 0
#: What ``multiprocessing`` calls a process that it has not started.
_MAIN = "MainProcess"
_knows_forks = False
#: What takes settings that the server has told, as JSON.
_follower: "Optional[Callable[[str], object]]" = None


def start(config: Config) -> None:
    """Follows the settings. Starts no thread: that comes with the first span, log record or measurement."""
    global _measures, _knows_forks
    _measures = bool(config["enabled"] and config["metrics_enabled"] and config["runtime_metrics"])
    _native.set_companion_hook(_companion)
    if not _knows_forks:
        _knows_forks = True
        os.register_at_fork(before=_native.interpreter_forks)
    _native.companion_wanted(libraries=reports_libraries(config))
    garbage.watch("metrics", _measures)


def add_observer(observer: "Callable[[], None]") -> None:
    """Has a function called whenever metrics are collected."""
    _observers.append(observer)
    _native.companion_wanted(observing=True)


def remove_observer(observer: "Callable[[], None]") -> None:
    """Has a function called no more."""
    if observer in _observers:
        _observers.remove(observer)
    _native.companion_wanted(observing=bool(_observers))


def when_told(follower: "Callable[[str], object]") -> None:
    """Has a function called with the settings that the server tells, as JSON."""
    global _follower
    _follower = follower


def observe() -> None:
    """Calls all observers now."""
    for observer in list(_observers):
        try:
            observer()
        except Exception as error:
            internal_error(error)


def _companion(what: str) -> "Any":
    """Called by the native companion thread."""
    try:
        if what == "start":
            return _identify()
        if what == "observe":
            observe()
        elif what == "begin":
            profiles.begin()
        elif what == "threads":
            profiles.name_threads()
        elif what == "refused":
            profiles.refused()
        elif what == "settings":
            told = _native.told_settings()
            if told is not None and _follower is not None:
                _follower(told)
        elif what == "libraries":
            folders = [path for path in list(sys.path) if isinstance(path, str) and path]  # pyright: ignore[reportUnnecessaryIsInstance]
            return folders, {name.partition(".")[0] for name in list(sys.modules)}
    except Exception as error:
        internal_error(error)
    return None


def _identify() -> bool:
    """Says whose worker this process is, if that is known; whether there is no more to find out."""
    if _named_in == os.getpid():
        return True
    worker = worker_identity()
    if worker is not None:
        _native.set_worker(*worker)
    # uWSGI says which worker a process is some time after the fork.
    return worker is not None or "uwsgi" not in sys.modules


def name_worker(kind: str, name: "Optional[str]" = None) -> None:
    """Says what this process is to the server it works for.

    Args:
        kind: The server.
        name: The process's number or name there; without one, the number of the ``multiprocessing`` process that it
            is, and nothing is said if it is none.
    """
    global _named_in
    if name is None:
        current = process_name("multiprocessing.process")
        if current is None:
            return
        # "SpawnProcess-1" says how it was started; the number says which it is.
        number = current.rpartition("-")[2]
        name = number if number.isdigit() else current
    _named_in = os.getpid()
    _native.set_worker(kind, name)


def process_name(module: str) -> "Optional[str]":
    """What ``multiprocessing``, or a module that is like it, calls this process; None if it did not start it."""
    process: Any = getattr(sys.modules.get(module), "current_process", None)
    name: str = process().name if process is not None else _MAIN
    return None if name == _MAIN else name


def worker_identity() -> "Optional[tuple[str, str]]":
    """The server this process works for and its number or name there, as far as that can be told without
    importing anything; None for a process of its own. Most say it themselves (:func:`name_worker`)."""
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None:
        number = uwsgi.worker_id()
        if number:
            return "uwsgi", str(number)
        mule = uwsgi.mule_id()
        if mule:
            return "uwsgi", f"mule {mule}"
        return ("uwsgi", "master") if uwsgi.masterpid() == os.getpid() else None
    # billiard is what celery's prefork pool runs on.
    for module, kind in (("billiard.process", "celery"), ("multiprocessing.process", "multiprocessing")):
        name = process_name(module)
        if name is not None:
            return kind, name
    return None


class LagWatch:
    """Asks a running event loop once a second how late it is, by a timer and without a task."""

    __slots__ = ("_context", "_due", "_handle", "_loop")

    def __init__(self, loop: "Any") -> None:
        from contextvars import Context

        self._loop = loop
        # An empty context: that of the caller would keep its span alive.
        self._context = Context()
        self._due: float = loop.time() + LAG_PERIOD
        self._handle: Any = loop.call_at(self._due, self._tick, context=self._context)

    def _tick(self) -> None:
        try:
            now = self._loop.time()
            _native.record_event_loop_lag(now - self._due)
            self._due = now + LAG_PERIOD
            self._handle = self._loop.call_at(self._due, self._tick, context=self._context)
        except Exception as error:
            internal_error(error)

    def stop(self) -> None:
        """Takes the timer away."""
        self._handle.cancel()


def watch_loop(loop: "Any") -> "Optional[LagWatch]":
    """Begins to watch a loop that is about to run; None when it is not to be."""
    if not _measures or loop.is_closed() or loop.is_running():
        return None
    return LagWatch(loop)
