"""Has exceptions told to the profiler: by ``sys.monitoring``, which Python has from 3.12 on, and before when they are
given back.
"""

import sys

from pitviper import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

#: Ids of tools that Python leaves to whoever comes: the others are meant for debuggers, coverage, profilers that time
#: functions, and optimisers.
_IDS = (4, 3)
_NAME = "pitviper"

_own: "Optional[int]" = None


def start() -> bool:
    """Begins; whether that is possible: where others have both ids it is not."""
    global _own
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        return _native.profiler_watch_freed(True)
    if _is_own(monitoring):
        return True
    for tool in _IDS:
        try:
            monitoring.use_tool_id(tool, _NAME)
        except ValueError:
            continue
        _own = tool
        monitoring.register_callback(tool, monitoring.events.RAISE, _native.profiler_raised)
        monitoring.set_events(tool, monitoring.events.RAISE)
        return True
    return False


def stop() -> None:
    """Gives the id back, unless it has become somebody else's; then what is called there does nothing any more."""
    global _own
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is None:
        _native.profiler_watch_freed(False)
    elif _is_own(monitoring):
        monitoring.set_events(_own, 0)
        monitoring.register_callback(_own, monitoring.events.RAISE, None)
        monitoring.free_tool_id(_own)
    _own = None


def _is_own(monitoring: "Any") -> bool:
    return _own is not None and monitoring.get_tool(_own) == _NAME
