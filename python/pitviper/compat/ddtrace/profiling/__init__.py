"""``Profiler``: the agent's profiler, which takes what ddtrace's takes."""

from collections.abc import Mapping
from typing import Any, Optional

from pitviper import profiling

__all__ = ["Profiler", "failure_msg", "is_available"]

#: Whether there is a profiler.
is_available = True
#: Why not; empty where there is one.
failure_msg = ""


class Profiler(profiling.Profiler):
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
        tags: "Optional[Mapping[str, str]]" = None,
        tracer: Any = None,
        api_key: Optional[str] = None,
        **others: Any,
    ) -> None:
        super().__init__(service, env, version, tags)
