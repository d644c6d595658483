"""``RuntimeMetrics``: the agent measures CPU, memory and garbage collection of the process by itself."""

from typing import Any, Optional


class RuntimeMetrics:
    """Runtime metrics are on unless ``PITVIPER_RUNTIME_METRICS_ENABLED`` or ``DD_RUNTIME_METRICS_ENABLED`` is
    false; these methods change nothing."""

    enabled = True

    @staticmethod
    def enable(tracer: Any = None, dogstatsd_url: Optional[str] = None, flush_interval: Optional[float] = None) -> None:
        """Accepted."""

    @staticmethod
    def disable() -> None:
        """Accepted."""
