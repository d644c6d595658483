"""The profiler: which functions take a process's time, and what its threads wait for.

Under ``pitviper run`` a process is profiled from its first span on, unless ``PITVIPER_PROFILING_ENABLED`` says
otherwise. To profile a part of a program, or with tags of its own::

    from pitviper.profiling import Profiler

    with Profiler(tags={"job": "nightly"}):
        rebuild_index()
"""

from pitviper import bootstrap, profiles
from pitviper._guard import internal_error, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Optional

__all__ = ["Profiler"]

#: How long stopping waits for the last profile to be sent, in seconds.
_STOP_TIMEOUT = 5.0


class Profiler:
    """Profiles this process.

    There is one profiler in a process: one that is started takes over from one that runs, also from that of
    ``pitviper run``, and what the other's ``stop`` would have done is no longer its business.

    Nothing here raises or waits for long: where the process cannot be profiled, :attr:`problem` says why, and so
    does a line on standard error.

    Args:
        service: Name of the service; by default the agent's.
        env: Deployment environment, such as ``production``; by default the agent's.
        version: Version of the application; by default the agent's.
        tags: Further resource attributes of the profiles.
    """

    def __init__(
        self,
        service: "Optional[str]" = None,
        env: "Optional[str]" = None,
        version: "Optional[str]" = None,
        tags: "Optional[Mapping[str, str]]" = None,
    ) -> None:
        self._attributes = {str(key): str(value) for key, value in (tags or {}).items()}
        for name, value in (
            ("service.name", service),
            ("deployment.environment.name", env),
            ("service.version", version),
        ):
            if value:
                self._attributes[name] = str(value)
        self._run: Optional[profiles.Run] = None
        self._problem: Optional[str] = None

    @property
    def running(self) -> bool:
        """Whether this profiler runs."""
        return self._run is not None and profiles.running() is self._run

    @property
    def problem(self) -> "Optional[str]":
        """Why :meth:`start` could not profile this process; None when it could."""
        return self._problem

    def start(self, stop_on_exit: bool = True, profile_children: bool = True) -> None:
        """Starts to profile. Does nothing while this profiler runs.

        Args:
            stop_on_exit: Whether the end of the process sends what was sampled last; else that is lost unless
                :meth:`stop` was called.
            profile_children: Whether forked children are profiled too.
        """
        if self.running:
            return
        try:
            run = profiles.Run(bootstrap.configured(), self._attributes, profile_children)
            if not stop_on_exit:
                run.at_exit = None
            self._problem = profiles.start(run)
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            internal_error(error)
        else:
            if self._problem is None:
                self._run = run
                bootstrap.watch_exit()
                return
        say(f"not profiling: {self._problem}")

    def stop(self, flush: bool = True) -> None:
        """Stops profiling. Does nothing unless this profiler runs.

        Args:
            flush: Whether what was sampled since the last upload is sent, which takes up to five seconds; else it
                is thrown away.
        """
        run, self._run = self._run, None
        if run is None:
            return
        try:
            profiles.stop(run, _STOP_TIMEOUT if flush else None)
        except Exception as error:
            internal_error(error)

    def flush(self, timeout: float = 5.0) -> bool:
        """Sends what was sampled so far now, with all finished spans, log records and metrics.

        Args:
            timeout: How long to wait, in seconds.

        Returns:
            Whether a server took it in time.
        """
        return bootstrap.flush(timeout)

    def __enter__(self) -> "Profiler":
        self.start()
        return self

    def __exit__(
        self,
        kind: "Optional[type[BaseException]]",
        error: "Optional[BaseException]",
        traceback: "Optional[TracebackType]",
    ) -> None:
        self.stop()
