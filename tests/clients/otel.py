"""An application with OpenTelemetry's own SDK: ``otel.py grpc|http|json ENDPOINT delta|cumulative``.

Sends one trace, every kind of metric and some logs, and prints the ids of trace and span as JSON.
"""

import json
import logging
import sys

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk import metrics
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PROTOCOL, ENDPOINT, TEMPORALITY = sys.argv[1:]
RESOURCE = Resource.create(
    {
        "service.name": f"shop-{PROTOCOL}",
        "service.version": "1.2",
        "service.instance.id": "i-1",
        "host.name": "h-1",
    }
)


def exporters() -> "tuple[object, object, object]":
    """Of spans, metrics and logs, over the protocol."""
    kinds = (metrics.Counter, metrics.Histogram, metrics.ObservableCounter)
    wanted = AggregationTemporality[TEMPORALITY.upper()]
    preferred = {"preferred_temporality": dict.fromkeys(kinds, wanted)}
    if PROTOCOL == "grpc":
        from grpc import Compression
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        same = {"endpoint": ENDPOINT, "insecure": True, "compression": Compression.Gzip}
        return OTLPSpanExporter(**same), OTLPMetricExporter(**same, **preferred), OTLPLogExporter(**same)
    if PROTOCOL == "json":
        from opentelemetry.exporter.otlp.common.http import Compression
        from opentelemetry.exporter.otlp.json.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.json.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    def same(signal: str) -> "dict[str, object]":
        return {"endpoint": f"{ENDPOINT}/v1/{signal}", "compression": Compression("gzip")}

    return (
        OTLPSpanExporter(**same("traces")),
        OTLPMetricExporter(**same("metrics"), **preferred),
        OTLPLogExporter(**same("logs")),
    )


def measure(meter: metrics.Meter) -> None:
    """Every kind of instrument."""
    orders = meter.create_counter("shop.orders", unit="{order}", description="Orders taken")
    stock = meter.create_up_down_counter("shop.stock", unit="{item}")
    took = meter.create_histogram("shop.took", unit="ms", explicit_bucket_boundaries_advisory=[10.0, 20.0, 40.0])
    fine = meter.create_histogram("shop.fine", unit="ms")
    load = meter.create_gauge("shop.load", unit="1")

    def memory(_: CallbackOptions) -> "list[Observation]":
        return [Observation(1 << 20, {"process.memory.type": "heap"})]

    meter.create_observable_gauge("process.memory.usage", callbacks=[memory], unit="By")
    meter.create_observable_counter("process.cpu.time", callbacks=[lambda _: [Observation(2.5)]], unit="s")
    orders.add(2, {"route": "/pay"})
    orders.add(5, {"route": "/basket"})
    orders.add(4, {"route": "/pay"})
    stock.add(10)
    stock.add(-3)
    for number in range(40):
        took.record(number, {"route": "/pay"})
        fine.record(1 << (number % 4))
    load.set(0.25)
    load.set(0.75)


def main() -> None:
    """Runs it."""
    span_exporter, metric_exporter, log_exporter = exporters()
    tracers = TracerProvider(resource=RESOURCE)
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    reader = PeriodicExportingMetricReader(metric_exporter, export_interval_millis=3_600_000)
    views = [View(instrument_name="shop.fine", aggregation=ExponentialBucketHistogramAggregation())]
    meters = metrics.MeterProvider(resource=RESOURCE, metric_readers=[reader], views=views)
    loggers = LoggerProvider(resource=RESOURCE)
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    handler = LoggingHandler(level=logging.INFO, logger_provider=loggers)
    logging.getLogger().addHandler(handler)

    log = logging.getLogger("shop.pay")
    log.setLevel(logging.INFO)
    tracer = tracers.get_tracer("shop.pay", "1.2")
    about = {"user": "ada", "tries": 2, "paid": False}
    with tracer.start_as_current_span("pay", attributes=about) as span:
        measure(meters.get_meter("shop.pay", "1.2", schema_url="https://opentelemetry.io/schemas/1.30.0"))
        log.info("order %d", 7, extra={"user": "ada"})
        try:
            raise ValueError("card 4111 refused")
        except ValueError as error:
            log.exception("not paid")
            span.record_exception(error)
        span.set_status(trace.StatusCode.ERROR, "refused")
        again = trace.Link(span.get_span_context(), {"why": "twice"})
        with tracer.start_as_current_span("ask bank", kind=trace.SpanKind.CLIENT, links=[again]) as call:
            call.add_event("asked", {"times": [1, 2]})
        context = span.get_span_context()
    log.warning("outside")
    loggers.get_logger("shop.events").emit(
        severity_number=SeverityNumber.DEBUG3, body={"card": "visa", "tries": 2}, event_name="shop.refused"
    )
    logging.getLogger().removeHandler(handler)
    # What is left is sent, and metrics this one time.
    for provider in (tracers, meters, loggers):
        provider.shutdown()
    ids = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    print(json.dumps(ids))


if __name__ == "__main__":
    main()
