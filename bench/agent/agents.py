"""The agents that are compared: how each is started, and how each makes spans."""

import contextlib
import os
from contextlib import AbstractContextManager
from typing import Any

#: How deep the spans of the row of spans lie.
NESTED = 10

_ONE, _TWO, _THREE = "key.one", "key.two", "key.three"
_VALUE, _OTHER, _NUMBER = "value", "another value", 3


class Bare:
    """No agent."""

    def start(self, port: str) -> None:
        """Starts the agent; it sends to this port."""

    def begins(self, work: str) -> None:
        """Is told what is going to be measured, before any library for it is imported."""

    def transaction(self, name: str) -> "AbstractContextManager[Any]":
        """What a request or a job is to the agent: what is traced is part of it."""
        return contextlib.nullcontext()

    def nest(self, depth: int) -> None:
        """Makes nested spans, each with three attributes."""
        for _ in range(depth):
            pass

    def flush(self) -> None:
        """Sends what waits, as the end of the process would."""

    def dress(self, kind: str, application: Any) -> None:
        """Adds the agent to an application, if it has to be added."""

    def django_applications(self) -> "list[str]":
        """What the agent has to have among Django's installed applications."""
        return []


class _Spans(Bare):
    """An agent whose spans are made as OpenTelemetry has it, by ``self._span``."""

    def transaction(self, name: str) -> "AbstractContextManager[Any]":
        return self._span(name)

    def nest(self, depth: int) -> None:
        with self._span("operation") as span:
            span.set_attribute(_ONE, _VALUE)
            span.set_attribute(_TWO, _OTHER)
            span.set_attribute(_THREE, _NUMBER)
            if depth > 1:
                self.nest(depth - 1)


class Pitviper(_Spans):
    """Ours: ``pitviper.init()``, as ``pitviper run`` does it, but for the profiler: the others have none by default."""

    compression = "auto"
    profiling = False

    def start(self, port: str) -> None:
        import pitviper

        pitviper.init(
            endpoint=f"http://127.0.0.1:{port}",
            service="bench",
            compression=self.compression,
            profiling_enabled=self.profiling,
        )
        from pitviper import _native

        self._span = _native.start_as_current_span

    def flush(self) -> None:
        import pitviper

        assert pitviper.flush(60)


class PitviperGzip(Pitviper):
    """Ours, compressing what it sends, as it does when the server is on another machine."""

    compression = "gzip"


class PitviperProfiled(Pitviper):
    """Ours as it is by default."""

    profiling = True


class Datadog(Bare):
    """ddtrace, with what it has for libraries, and without telemetry about itself."""

    def start(self, port: str) -> None:
        os.environ.update(
            DD_TRACE_AGENT_URL=f"http://127.0.0.1:{port}",
            DD_SERVICE="bench",
            DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false",
            DD_TRACE_STARTUP_LOGS="false",
        )
        import ddtrace.auto  # noqa: F401
        from ddtrace.trace import tracer

        self._tracer = tracer

    def transaction(self, name: str) -> "AbstractContextManager[Any]":
        return self._tracer.trace(name)

    def nest(self, depth: int) -> None:
        with self._tracer.trace("operation") as span:
            span.set_tag(_ONE, _VALUE)
            span.set_tag(_TWO, _OTHER)
            span.set_metric(_THREE, _NUMBER)
            if depth > 1:
                self.nest(depth - 1)

    def flush(self) -> None:
        self._tracer.flush()


class OpenTelemetry(_Spans):
    """OpenTelemetry's SDK, its OTLP exporter over HTTP, and contrib's instrumentation of what is measured."""

    def start(self, port: str) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        self._endpoint = f"http://127.0.0.1:{port}"
        self._provider = TracerProvider()
        self._provider.add_span_processor(self._processor())
        trace.set_tracer_provider(self._provider)
        self._span = trace.get_tracer("bench").start_as_current_span
        self._logs: Any = None

    def _processor(self) -> Any:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # No span is to be dropped: that would be cheap.
        return BatchSpanProcessor(OTLPSpanExporter(f"{self._endpoint}/v1/traces"), max_queue_size=10**6)

    def begins(self, work: str) -> None:
        from importlib import import_module

        for module, name in _INSTRUMENTORS.get(work, ()):
            getattr(import_module(f"opentelemetry.instrumentation.{module}"), name)().instrument()
        if work == "log record":
            self._export_logs()

    def _export_logs(self) -> None:
        import logging

        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

        self._logs = LoggerProvider()
        exporter = OTLPLogExporter(f"{self._endpoint}/v1/logs")
        self._logs.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=10**6))
        logging.getLogger().addHandler(LoggingHandler(logger_provider=self._logs))

    def flush(self) -> None:
        self._provider.force_flush(60_000)
        if self._logs is not None:
            self._logs.force_flush(60_000)


#: What OpenTelemetry instruments, by what is measured.
_INSTRUMENTORS: "dict[str, tuple[tuple[str, str], ...]]" = {
    "Flask request": (
        ("flask", "FlaskInstrumentor"),
        ("jinja2", "Jinja2Instrumentor"),
        ("requests", "RequestsInstrumentor"),
        ("sqlite3", "SQLite3Instrumentor"),
    ),
    "Django request": (("django", "DjangoInstrumentor"), ("sqlite3", "SQLite3Instrumentor")),
    "FastAPI request": (("fastapi", "FastAPIInstrumentor"),),
    "sqlite3 statement": (("sqlite3", "SQLite3Instrumentor"),),
    "psycopg statement": (("psycopg", "PsycopgInstrumentor"),),
    "requests call": (("requests", "RequestsInstrumentor"),),
    "asyncio task": (("asyncio", "AsyncioInstrumentor"),),
    "job in a thread": (("threading", "ThreadingInstrumentor"),),
    "log record": (("logging", "LoggingInstrumentor"),),
}
_INSTRUMENTORS["soak"] = _INSTRUMENTORS["Flask request"]


class Fastotel(OpenTelemetry):
    """OpenTelemetry, with fastotel's processor in the place of the SDK's and its exporter."""

    def _processor(self) -> Any:
        from fastotel import OTLPSpanProcessor

        return OTLPSpanProcessor(endpoint=f"{self._endpoint}/v1/traces", max_queue_size=10**6)


class NewRelic(Bare):
    """New Relic's agent, which speaks to a collector over TLS."""

    def start(self, port: str) -> None:
        import newrelic.agent

        self._agent = newrelic.agent
        self._agent.initialize()
        self._application = self._agent.register_application(timeout=20.0)

    def transaction(self, name: str) -> "AbstractContextManager[Any]":
        return self._agent.BackgroundTask(self._application, name)

    def nest(self, depth: int) -> None:
        with self._agent.BackgroundTask(self._application, "operation"):
            self._nest(depth)

    def _nest(self, depth: int) -> None:
        with self._agent.FunctionTrace("operation") as span:
            span.add_custom_attribute(_ONE, _VALUE)
            span.add_custom_attribute(_TWO, _OTHER)
            span.add_custom_attribute(_THREE, _NUMBER)
            if depth > 1:
                self._nest(depth - 1)

    def flush(self) -> None:
        from newrelic.core.agent import agent_instance

        application = agent_instance().application("bench")
        # What it sends every five seconds, and what it sends every minute.
        application.harvest(flexible=True)
        application.harvest()


class Elastic(Bare):
    """Elastic's agent, with its instrumentations."""

    def start(self, port: str) -> None:
        os.environ.update(
            ELASTIC_APM_SERVER_URL=f"http://127.0.0.1:{port}",
            ELASTIC_APM_SERVICE_NAME="bench",
            # It would ask addresses of clouds where it is.
            ELASTIC_APM_CLOUD_PROVIDER="none",
        )
        import elasticapm

        self._apm = elasticapm
        self._client: Any = None

    def begins(self, work: str) -> None:
        if work in ("Flask request", "soak", "Django request"):
            # Its integration for these makes a client of its own.
            return
        self._client = self._apm.Client()
        self._apm.instrument()

    def transaction(self, name: str) -> "AbstractContextManager[Any]":
        return self._transaction(name)

    @contextlib.contextmanager
    def _transaction(self, name: str) -> Any:
        self._client.begin_transaction("job")
        try:
            yield
        finally:
            self._client.end_transaction(name, "success")

    def nest(self, depth: int) -> None:
        self._client.begin_transaction("job")
        self._nest(depth)
        self._client.end_transaction("operation", "success")

    def _nest(self, depth: int) -> None:
        with self._apm.capture_span("operation", labels={_ONE: _VALUE, _TWO: _OTHER, _THREE: _NUMBER}):
            if depth > 1:
                self._nest(depth - 1)

    def flush(self) -> None:
        client = self._client or self._apm.get_client()
        client._transport.flush()

    def dress(self, kind: str, application: Any) -> None:
        if kind == "flask":
            from elasticapm.contrib.flask import ElasticAPM

            ElasticAPM(application)
        elif kind == "fastapi":
            from elasticapm.contrib.starlette import ElasticAPM as Middleware

            application.add_middleware(Middleware, client=self._client)

    def django_applications(self) -> "list[str]":
        return ["elasticapm.contrib.django"]


AGENTS: "dict[str, type[Bare]]" = {
    "none": Bare,
    "Pitviper": Pitviper,
    "Pitviper, gzip": PitviperGzip,
    "Pitviper, profiled": PitviperProfiled,
    "ddtrace": Datadog,
    "OpenTelemetry": OpenTelemetry,
    "fastotel": Fastotel,
    "New Relic": NewRelic,
    "Elastic": Elastic,
}
