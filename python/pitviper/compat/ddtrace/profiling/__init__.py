"""``Profiler``: the agent's profiler under ddtrace's name."""

import logging
from typing import Any, Optional

log = logging.getLogger("ddtrace.profiling")

try:
    from pitviper import profiling as _profiling  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]
except ImportError as error:
    _ours: Any = None
    #: Why there is no profiler; empty when there is one.
    failure_msg = f"this build of the agent has no profiler: {error}"
else:
    _ours = _profiling.Profiler  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    failure_msg = ""

#: Whether there is a profiler.
is_available = not failure_msg
#: How often a profiler was asked for that there is not.
refused = 0


class Profiler:
    """Profiles the process from :meth:`start` to :meth:`stop`.

    Args:
        service: The service that is profiled; by default the process's.
        env: The deployment environment; by default the process's.
        version: The version of the application; by default the process's.
        tags: Further attributes of the profiles.
        tracer: Accepted.
        api_key: Accepted.
        **others: Accepted, as ddtrace takes more.
    """

    def __init__(
        self,
        service: Optional[str] = None,
        env: Optional[str] = None,
        version: Optional[str] = None,
        tags: "Optional[dict[str, str]]" = None,
        tracer: Any = None,
        api_key: Optional[str] = None,
        **others: Any,
    ) -> None:
        self._profiler: Any = None
        if _ours is not None:
            self._profiler = _ours(service=service, env=env, version=version, tags=tags)

    def start(self, stop_on_exit: bool = True, profile_children: bool = True) -> None:
        """Starts profiling.

        Args:
            stop_on_exit: Accepted; the last profile is sent when the process ends.
            profile_children: Accepted; children of a fork are profiled.
        """
        global refused
        if self._profiler is None:
            refused += 1
            log.info("not profiling: %s", failure_msg)
            return
        self._profiler.start()

    def stop(self, flush: bool = True) -> None:
        """Stops profiling.

        Args:
            flush: Whether to send what has been gathered.
        """
        if self._profiler is not None:
            self._profiler.stop(flush)
