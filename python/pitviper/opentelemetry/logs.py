"""OpenTelemetry's LoggerProvider, with the agent's native export behind it.

It needs the distribution ``opentelemetry-api`` and not the SDK. In an application that runs under the agent
``opentelemetry._logs.get_logger()`` leads here by itself.
"""

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error

# Not by an import statement: types must check on a machine without the API too.
logs: Any = import_module("opentelemetry._logs")
api: Any = import_module("opentelemetry._logs._internal")
trace: Any = import_module("opentelemetry.trace")

Attributes = Optional[Mapping[str, Any]]

#: The name of ours among the entry points, and its variable.
_ENTRY_POINT, _VARIABLE = "pitviper", "OTEL_PYTHON_LOGGER_PROVIDER"


class Logger(logs.Logger):
    """Sends records."""

    def __init__(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Attributes = None,
    ) -> None:
        super().__init__(name, version, schema_url, attributes)  # pyright: ignore[reportUnknownMemberType]
        self._scope: dict[str, Any] = {
            "scope_name": name or "",
            "scope_version": version or "",
            "scope_attributes": attributes,
        }

    def emit(
        self,
        record: Any = None,
        *,
        timestamp: Optional[int] = None,
        observed_timestamp: Optional[int] = None,
        context: Any = None,
        severity_number: Any = None,
        severity_text: Optional[str] = None,
        body: Any = None,
        attributes: Attributes = None,
        event_name: Optional[str] = None,
        exception: Optional[BaseException] = None,
    ) -> None:
        """Sends a record: one that was made before, or one with these contents. Times are nanoseconds since the
        Unix epoch; an exception gives the attributes that conventions ask for."""
        try:
            span_context: Any = None
            if record is not None:
                timestamp, observed_timestamp = record.timestamp, record.observed_timestamp
                severity_number, severity_text = record.severity_number, record.severity_text
                body, attributes = record.body, record.attributes
                event_name = getattr(record, "event_name", None)
                exception = getattr(record, "exception", None)
                # A record knows where it was made; it may be sent elsewhere.
                span_context = record if record.trace_id else None
            elif context is not None:
                span_context = trace.get_current_span(context).get_span_context()
            _native.emit_log(
                body=body,
                timestamp=timestamp,
                observed_timestamp=observed_timestamp,
                severity_number=int(getattr(severity_number, "value", severity_number) or 0),
                severity_text=severity_text,
                attributes=attributes,
                event_name=event_name,
                exception=exception,
                span_context=span_context,
                **self._scope,
            )
        except Exception as error:
            internal_error(error)

    def enabled(self, **_: Any) -> bool:
        """Whether records are sent."""
        from pitviper import bootstrap

        config = bootstrap.current_config()
        return config is not None and bool(config["enabled"] and config["logs_enabled"])


class LoggerProvider(logs.LoggerProvider):
    """Makes loggers.

    Args:
        resource: Taken for compatibility; logs have the agent's resource.
        shutdown_on_exit: Taken for compatibility; the agent sends what waits at the process's end.
    """

    def __init__(self, resource: Optional[object] = None, shutdown_on_exit: bool = True, **_: Any) -> None:
        from pitviper import bootstrap

        if bootstrap.current_config() is None:
            bootstrap.init()
        self._is_shut_down = False

    def get_logger(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Attributes = None,
    ) -> Any:
        """The logger of a library."""
        if self._is_shut_down:
            return logs.NoOpLogger(name or "", version, schema_url, attributes)
        return Logger(name, version, schema_url, attributes)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends what waits; whether a server took it in time."""
        import pitviper

        return pitviper.flush(timeout_millis / 1_000)

    def shutdown(self) -> None:
        """Sends what waits, and makes no more loggers that send."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self.force_flush()


class _DefaultLogger(api.ProxyLogger):
    """A logger that an application gets before it has set a provider, if it ever does: it is ours until then."""

    def __init__(self, ours: Any, name: str, version: Any, schema_url: Any, attributes: Any) -> None:
        super().__init__(name, version, schema_url, attributes)  # pyright: ignore[reportUnknownMemberType]
        self._ours = ours

    @property
    def _logger(self) -> Any:
        if self._real_logger is None and api._LOGGER_PROVIDER is None:
            return self._ours
        return super()._logger  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def enabled(self, **kwargs: Any) -> bool:
        return self._logger.enabled(**kwargs)


class _DefaultLoggerProvider(api.ProxyLoggerProvider):
    """What ``opentelemetry._logs`` hands out until an application sets a provider."""

    def __init__(self) -> None:
        self.ours = LoggerProvider()

    def get_logger(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Attributes = None,
    ) -> Any:
        real = api._LOGGER_PROVIDER
        if real is not None:
            return real.get_logger(name, version, schema_url, attributes)
        ours = self.ours.get_logger(name, version, schema_url, attributes)
        return _DefaultLogger(ours, name, version, schema_url, attributes)


def offer() -> None:
    """Has ``opentelemetry._logs`` hand out our loggers, as long as the application sets no provider of its own."""
    try:
        chosen = os.environ.get(_VARIABLE, _ENTRY_POINT)
        if chosen == _ENTRY_POINT and api._LOGGER_PROVIDER is None:
            api._PROXY_LOGGER_PROVIDER = _DefaultLoggerProvider()
    except Exception as error:
        internal_error(error)
