"""``Tracer``, with the methods that ddtrace 4 gives it."""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

import logging
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any, Callable, Optional, TypeVar, Union

from pitviper import _native, bootstrap
from pitviper._guard import internal_error

from . import _context, _wrap
from ._config import config
from ._context import Context
from ._deprecations import deprecate, removed_attribute
from ._provider import BaseContextProvider, DefaultContextProvider
from ._span import SCOPE, Span, begin, make

_F = TypeVar("_F", bound=Callable[..., Any])

log = logging.getLogger("ddtrace.trace")


class Tracer:
    """Starts spans. There is one for all: ``ddtrace.trace.tracer``."""

    SHUTDOWN_TIMEOUT = 5

    def __init__(self) -> None:
        bootstrap.ensure_configured()
        settings = bootstrap.current_config()
        #: Whether spans are recorded. Without, they are there all the same, and go nowhere.
        self.enabled: bool = settings is None or bool(settings["enabled"])
        self.context_provider: BaseContextProvider = DefaultContextProvider()
        self._tags: dict[str, Any] = {}
        #: Runs what is wrapped by :meth:`wrap`, in place of a span.
        self._wrap_executor: Optional[Callable[..., Any]] = None

    def trace(
        self,
        name: str,
        service: Optional[str] = None,
        resource: Optional[str] = None,
        span_type: Optional[str] = None,
        span_api: str = "datadog",
    ) -> Span:
        """Starts a span below the active one, and makes it active until it finishes.

        Args:
            name: The operation, with few distinct values.
            service: The service it is part of; by default its parent's.
            resource: What the operation was about; by default its name.
            span_type: What kind of operation it is, such as ``web``, ``http`` or ``sql``.
            span_api: Accepted, and without meaning here.
        """
        provider = self.context_provider
        active = provider.active()
        if type(provider) is not DefaultContextProvider:
            return self.start_span(name, active, service, resource, span_type, True, span_api)
        parent, context = (active, None) if isinstance(active, Span) else (None, active)
        service = self._service(service, parent)
        # Below what is current, which is what is active.
        foreign = config.foreign_service(service)
        native = _native.start_span(name, 1, None, None, None, None, SCOPE, foreign)
        if foreign is None and parent is not None and parent.service != service:
            # Back in the process's own service; by itself it is part of the one around it.
            _native.set_service(native, None)
        span = self._made(native, name, service, resource, span_type, parent, context)
        provider.enter(span)
        return span

    def start_span(
        self,
        name: str,
        child_of: "Optional[Union[Span, Context]]" = None,
        service: Optional[str] = None,
        resource: Optional[str] = None,
        span_type: Optional[str] = None,
        activate: bool = False,
        span_api: str = "datadog",
    ) -> Span:
        """Starts a span.

        Args:
            name: The operation, with few distinct values.
            child_of: The span or context it is part of; by default it begins a trace.
            service: The service it is part of; by default its parent's.
            resource: What the operation was about; by default its name.
            span_type: What kind of operation it is, such as ``web``, ``http`` or ``sql``.
            activate: Whether it is active until it finishes.
            span_api: Accepted, and without meaning here.
        """
        parent = child_of if isinstance(child_of, Span) else None
        context = child_of if isinstance(child_of, Context) else None
        service = self._service(service, parent)
        given: Any = None
        if parent is not None:
            given = parent._inner
        elif context is not None:
            given = _context.native_of(context)
        native = begin(name, given, service)
        span = self._made(native, name, service, resource, span_type, parent, context)
        if activate:
            self._enter(span, parent)
        return span

    def _enter(self, span: Span, parent: Optional[Span]) -> None:
        provider = self.context_provider
        if isinstance(provider, DefaultContextProvider):
            provider.enter(span)
            span._then = parent or span._then
        else:
            provider.activate(span)
            # What integrations make is below the span as well.
            span._inner.__enter__()

    def _service(self, service: Optional[str], parent: Optional[Span]) -> Optional[str]:
        if service is None:
            service = config.service if parent is None else parent.service
        mapping = config.service_mapping
        return mapping.get(service, service) if mapping and service is not None else service

    def _made(
        self,
        native: _native.Span,
        name: str,
        service: Optional[str],
        resource: Optional[str],
        span_type: Optional[str],
        parent: Optional[Span],
        context: Optional[Context],
    ) -> Span:
        span = make(native, name, service, resource, span_type, parent, context)
        if self._tags:
            span.set_tags(self._tags)
        if not self.enabled:
            _native.discard(native)
        return span

    def current_span(self) -> Optional[Span]:
        """The active span, whoever made it; None where there is none."""
        active = self.context_provider.active()
        return active if isinstance(active, Span) else None

    def current_root_span(self) -> Optional[Span]:
        """The outermost span of this process around the active one."""
        span = self.current_span()
        return None if span is None else span._local_root

    def current_trace_context(self, *args: Any, **kwargs: Any) -> Optional[Context]:
        """The context of what is active."""
        active = self.context_provider.active()
        return active.context if isinstance(active, Span) else active

    @contextmanager
    def _activate_context(self, context: Optional[Context]) -> Any:
        before = self.context_provider.active()
        if context is not None:
            context._reactivate = True
        self.context_provider.activate(context)
        try:
            yield
        finally:
            if context is not None:
                context._reactivate = False
            self.context_provider.activate(before)

    def get_log_correlation_context(self, active: "Optional[Union[Context, Span]]" = None) -> "dict[str, str]":
        """What a line of a log needs to be found with its trace: ``dd.trace_id``, ``dd.span_id`` and the like."""
        if active is None and self.enabled:
            active = self.context_provider.active()
        trace_id = active.trace_id if active else None
        span_id = active.span_id if active else None
        return {
            "dd.trace_id": f"{trace_id:032x}" if trace_id else "0",
            "dd.span_id": str(span_id) if span_id else "0",
            "dd.service": config.service or "",
            "dd.version": config.version or "",
            "dd.env": config.env or "",
        }

    def configure(
        self,
        context_provider: Optional[BaseContextProvider] = None,
        compute_stats_enabled: Optional[bool] = None,
        appsec_enabled: Optional[bool] = None,
        appsec_enabled_origin: Optional[str] = "",
        iast_enabled: Optional[bool] = None,
        apm_tracing_disabled: Optional[bool] = None,
        trace_processors: "Optional[list[Any]]" = None,
    ) -> None:
        """Changes how it works.

        Args:
            context_provider: Says what is active.
            compute_stats_enabled: Accepted; the server counts spans.
            appsec_enabled: Accepted, and without meaning here.
            appsec_enabled_origin: The same.
            iast_enabled: The same.
            apm_tracing_disabled: Whether spans go nowhere.
            trace_processors: Each has ``process_trace(spans)``, and gets all spans of a trace in this process once
                the last has finished; what it returns goes on, and nothing for None.
        """
        if apm_tracing_disabled is not None:
            self.enabled = not apm_tracing_disabled
        if context_provider is not None:
            self.context_provider = context_provider
        if trace_processors is not None:
            from . import _whole

            _whole.watch(trace_processors)

    def wrap(
        self,
        name: Optional[str] = None,
        service: Optional[str] = None,
        resource: Optional[str] = None,
        span_type: Optional[str] = None,
    ) -> "Callable[[_F], _F]":
        """A decorator: a span for each call of a function, coroutine function or generator function.

        Args:
            name: The operation; by default the function's module and name.
            service: The service it is part of; by default its parent's.
            resource: What the operation was about; by default its name.
            span_type: What kind of operation it is.
        """
        return _wrap.decorator(self, name, service, resource, span_type)

    def set_tags(self, tags: "Mapping[str, Any]") -> None:
        """Has every span that is started through this API from now on begin with these tags."""
        self._tags.update(tags)

    def sample(self, span: Span) -> None:
        """Nothing: the agent has decided when the trace began."""

    def flush(self) -> None:
        """Sends what has finished."""
        bootstrap.flush()

    def shutdown(self, timeout: Optional[float] = None) -> None:
        """Sends what has finished, and records no more.

        Args:
            timeout: How long to wait, in seconds; five when not given.
        """
        try:
            bootstrap.flush(self.SHUTDOWN_TIMEOUT if timeout is None else timeout)
        except Exception as error:
            internal_error(error)
        self.enabled = False
        self.context_provider.activate(None)

    @property
    def agent_trace_url(self) -> Optional[str]:
        """Where spans are sent."""
        settings = bootstrap.current_config()
        return None if settings is None else settings.traces_url

    @property
    def debug_logging(self) -> bool:
        """Whether the logger of this API writes what is for debugging."""
        return log.isEnabledFor(logging.DEBUG)

    @property
    def data_streams_processor(self) -> None:
        """None: there are no data streams here."""
        deprecate("Tracer.data_streams_processor", "there are no data streams under Pitviper")

    def __getattr__(self, name: str) -> Any:
        raise removed_attribute("Tracer", name)


tracer = Tracer()
