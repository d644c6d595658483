"""What the profiler has to be told of tasks of asyncio, and of gevent's greenlets, to name its samples by them."""

import contextvars
import sys

from pitviper import _native
from pitviper._guard import internal_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Holds, in a greenlet's own context, what it is called.
_name = _native.profiler_context_name()
#: Whether greenlets get it.
_names_greenlets = False


class _Loop:
    """As much of a loop as a task asks of it that never runs."""

    def get_debug(self) -> bool:
        return False

    def call_soon(self, *_: object, **__: object) -> None:
        pass

    def call_exception_handler(self, _: "dict[str, Any]") -> None:
        pass


async def _never() -> None:
    pass


def _all_tasks(module: "Any") -> "Any":
    # The name is of Python 3.12 and newer.
    return module._scheduled_tasks if hasattr(module, "_scheduled_tasks") else module._all_tasks


def watch() -> "str | None":
    """Has samples name tasks and greenlets, once the application has loaded asyncio and gevent. To be called again.

    Returns:
        Why they will not be named; None when they are, or it is too early to say.
    """
    _watch_greenlets()
    native, module = sys.modules.get("_asyncio"), sys.modules.get("asyncio.tasks")
    if native is None or module is None or not _native.profiler_wants_tasks():
        return None
    # While a loop runs here, its task is the current one.
    if native._get_running_loop() is not None or getattr(module, "_enter_task", None) is None:
        return None
    # One object, as a task keeps it.
    loop, coroutine, name = _Loop(), _never(), "".join(("pitviper ", "probe"))
    native._set_running_loop(loop)
    try:
        task = native.Task(coroutine, loop=loop, name=name)
        task._log_destroy_pending = False
        native._enter_task(loop, task)
        try:
            # The dictionary and the set live as long as the module.
            current = getattr(native, "_current_tasks", None)
            every = None if current is None else _all_tasks(module).data
            key = sys.intern("__asyncio_running_event_loop__")
            return _native.profiler_watch_tasks((task, native.Task, coroutine, name, loop, current, every, key))
        finally:
            native._leave_task(loop, task)
    finally:
        native._set_running_loop(None)
        coroutine.close()


def unwatch() -> None:
    """Leaves greenlets alone."""
    global _names_greenlets
    if _names_greenlets:
        _names_greenlets = False
        sys.modules["gevent.greenlet"].Greenlet.remove_spawn_callback(_name_greenlet)


def _watch_greenlets() -> None:
    global _names_greenlets
    greenlets = getattr(sys.modules.get("gevent.greenlet"), "Greenlet", None)
    if greenlets is not None and not _names_greenlets:
        greenlets.add_spawn_callback(_name_greenlet)
        _names_greenlets = True


def _name_greenlet(greenlet: "Any") -> None:
    """Gives a greenlet that begins without a context the one it would get with its first variable, and its name."""
    try:
        # One that it was given may be another's as well.
        if greenlet.gr_context is None:
            greenlet.gr_context = context = contextvars.Context()
            context.run(_name.set, greenlet.name)
    except Exception as error:
        internal_error(error)
