"""The tracer provider: what OpenTelemetry's API calls the entry to tracing."""

import atexit
import os
from collections.abc import Mapping
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error, say
from pitviper.bootstrap import current_config, ensure_configured
from pitviper.opentelemetry import limits as span_limits_module
from pitviper.opentelemetry import sampling
from pitviper.opentelemetry._api import trace
from pitviper.opentelemetry.ids import IdGenerator, RandomIdGenerator
from pitviper.opentelemetry.limits import SpanLimits
from pitviper.opentelemetry.processor import Gate, SynchronousMultiSpanProcessor
from pitviper.opentelemetry.readable import InstrumentationScope
from pitviper.opentelemetry.resource import Resource


class TracerProvider(trace.TracerProvider):
    """Makes tracers whose spans the agent records and sends, with the arguments of the SDK's class.

    What is not given is as the agent's settings say, and then costs nothing: sampling, ids and limits
    are native. Samplers, id generators and processors written in Python are asked for each span, also
    those of the SDK.

    Args:
        sampler: Decides which traces are kept.
        resource: What the spans come from; by default the process as the agent describes it.
        shutdown_on_exit: Whether the end of the process shuts the provider down.
        active_span_processor: What passes spans on to the processors that are added.
        id_generator: Draws ids.
        span_limits: Bounds on a span.
        meter_provider: Not used; the SDK measures itself with it.
    """

    def __init__(
        self,
        sampler: Any = None,
        resource: Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Any = None,
        *,
        meter_provider: Any = None,
    ) -> None:
        ensure_configured()
        config = current_config()
        self.sampler: Any = sampler or (sampling.named(*config.sampler()) if config else sampling.DEFAULT_ON)
        self.id_generator: IdGenerator = id_generator or RandomIdGenerator()
        self._span_limits: Any = span_limits
        self._resource: Any = resource
        self._active_span_processor: Any = active_span_processor or SynchronousMultiSpanProcessor()
        self._disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        self.pipeline = _native.Pipeline(
            Gate(self._active_span_processor),
            sampler=sampling.native_form(sampler) if sampler is not None else None,
            limits=span_limits_module.native_form(span_limits) if span_limits is not None else None,
            id_generator=id_generator,
            resource=resource.attributes if resource is not None else None,
        )
        #: Whether spans of integrations have to go through the pipeline for all of them to be alike.
        self.is_particular = any(part is not None for part in (sampler, resource, id_generator, span_limits))
        self._is_global = False
        if active_span_processor is not None:
            self._watch()
        self._tracers: dict[InstrumentationScope, _native.Tracer] = {}
        self._at_exit = self.shutdown if shutdown_on_exit else None
        if self._at_exit is not None:
            atexit.register(self._at_exit)

    @property
    def resource(self) -> Any:
        """What the spans come from."""
        if self._resource is None:
            self._resource = Resource.create()
        return self._resource

    @property
    def span_limits(self) -> Any:
        """Bounds on a span."""
        return self._span_limits or SpanLimits()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Optional[Mapping[str, Any]] = None,
    ) -> Any:
        """The tracer of a library: the same for the same arguments.

        A name that is missing is named on standard error once, and gives a tracer all the same.
        """
        if self._disabled:
            return trace.NoOpTracer()
        name = instrumenting_module_name
        if not name or not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            _complain("a tracer was asked for without a name; give it the name of the library that uses it")
            name = ""
        scope = InstrumentationScope(name, instrumenting_library_version or "", schema_url, attributes)
        tracer = self._tracers.get(scope)
        if tracer is None:
            made = _native.Tracer(self.pipeline, scope, self.resource, name, str(scope.version), scope.attributes)
            # Of two threads that come at once, both get the first one's.
            tracer = self._tracers.setdefault(scope, made)
        return tracer

    def add_span_processor(self, span_processor: Any) -> None:
        """Adds a processor; it hears of the spans of integrations too, if this is the global provider."""
        self._active_span_processor.add_span_processor(span_processor)
        self._watch()

    def _watch(self) -> None:
        self.is_particular = True
        self.pipeline.watch()
        if self._is_global:
            _native.set_own_pipeline(self.pipeline)

    def become_global(self) -> None:
        """Serves integrations too from now on."""
        self._is_global = True
        _native.set_own_pipeline(self.pipeline if self.is_particular else None)

    def give_way(self, successor: Any) -> None:
        """Has the tracers made so far hand their calls to those of another provider."""
        self._is_global = False
        for scope, tracer in list(self._tracers.items()):
            arguments = (scope.name, scope.version, scope.schema_url or None, dict(scope.attributes) or None)
            try:
                tracer.succeed(successor.get_tracer(*arguments))
            except TypeError:
                # Providers made for an older API know no attributes.
                tracer.succeed(successor.get_tracer(*arguments[:3]))
            except Exception as error:
                internal_error(error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Has processors and the agent send what waits; whether that was done in time."""
        in_time = self._active_span_processor.force_flush(timeout_millis)
        return _native.flush(timeout_millis) and in_time is not False

    def shutdown(self) -> None:
        """Shuts the processors down; spans that end later are not sent. Integrations go on."""
        if self._at_exit is not None:
            atexit.unregister(self._at_exit)
            self._at_exit = None
        self._active_span_processor.shutdown()
        self.pipeline.close()


_complaints: "set[str]" = set()


def _complain(complaint: str) -> None:
    if complaint not in _complaints:
        _complaints.add(complaint)
        say(complaint)
