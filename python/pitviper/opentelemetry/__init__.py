"""The agent behind OpenTelemetry's API: spans of its tracers and of our integrations are one.

Nothing has to be done in an application that runs under the agent: as soon as it, or a library it uses,
imports ``opentelemetry.trace``, tracers are ours. An application that sets a provider of the OpenTelemetry
SDK keeps it, and its spans are sent to our server too. To choose a sampler, processors or limits::

    from opentelemetry import trace
    from pitviper.opentelemetry import ParentBased, TraceIdRatioBased, TracerProvider

    trace.set_tracer_provider(TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.1))))

This package needs the distribution ``opentelemetry-api``, and not the SDK.
"""

from pitviper.bootstrap import serves_opentelemetry
from pitviper.opentelemetry._bind import bind
from pitviper.opentelemetry._global import install, tracer_provider
from pitviper.opentelemetry.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    InMemorySpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from pitviper.opentelemetry.ids import IdGenerator, RandomIdGenerator
from pitviper.opentelemetry.limits import SpanLimits
from pitviper.opentelemetry.processor import (
    ConcurrentMultiSpanProcessor,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from pitviper.opentelemetry.provider import TracerProvider
from pitviper.opentelemetry.readable import Event, InstrumentationScope
from pitviper.opentelemetry.resource import Resource
from pitviper.opentelemetry.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)

__all__ = [
    "ALWAYS_OFF",
    "ALWAYS_ON",
    "DEFAULT_OFF",
    "DEFAULT_ON",
    "BatchSpanProcessor",
    "ConcurrentMultiSpanProcessor",
    "ConsoleSpanExporter",
    "Decision",
    "Event",
    "IdGenerator",
    "InMemorySpanExporter",
    "InstrumentationScope",
    "ParentBased",
    "ParentBasedTraceIdRatio",
    "RandomIdGenerator",
    "Resource",
    "Sampler",
    "SamplingResult",
    "SimpleSpanProcessor",
    "SpanExportResult",
    "SpanExporter",
    "SpanLimits",
    "SpanProcessor",
    "StaticSampler",
    "SynchronousMultiSpanProcessor",
    "TraceIdRatioBased",
    "TracerProvider",
    "tracer_provider",
]

bind()
if serves_opentelemetry():
    install()
