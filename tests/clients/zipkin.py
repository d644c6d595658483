"""Clients of Zipkin and Jaeger: ``zipkin.py ENDPOINT`` sends a trace of each, and prints their ids as JSON.

OpenTelemetry's SDK with its exporters for both, and Zipkin's own client for Python, whose server shares the
span of its client.
"""

import json
import sys
import urllib.request
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.jaeger.thrift import JaegerExporter
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from py_zipkin import Encoding
from py_zipkin.zipkin import ZipkinAttrs, zipkin_client_span, zipkin_server_span, zipkin_span

ENDPOINT = sys.argv[1]
ZIPKIN = f"{ENDPOINT}/api/v2/spans"
JAEGER = f"{ENDPOINT}/api/traces?format=jaeger.thrift"


def exported(exporter: Any, service: str) -> str:
    """A trace through an exporter of OpenTelemetry's SDK; its id."""
    provider = TracerProvider(resource=Resource.create({"service.name": service, "team": "web"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("hop", "1.2")
    with tracer.start_as_current_span("GET /pay", kind=trace.SpanKind.SERVER) as root:
        root.set_attribute("http.status_code", 503)
        with tracer.start_as_current_span("SELECT card", kind=trace.SpanKind.CLIENT) as span:
            span.set_attribute("db.system", "postgresql")
            span.record_exception(KeyError("card"))
            span.set_status(trace.StatusCode.ERROR, "no card")
    provider.shutdown()
    return f"{root.get_span_context().trace_id:032x}"


def send(payload: "bytes | str") -> None:
    """Posts what py_zipkin has encoded."""
    body = payload if isinstance(payload, bytes) else payload.encode()
    request = urllib.request.Request(ZIPKIN, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 202


def shared() -> str:
    """A client and a server that share a span, by Zipkin's own client; the trace's id."""
    common: dict[str, Any] = {"transport_handler": send, "encoding": Encoding.V2_JSON}
    root = zipkin_span(service_name="front", span_name="page", sample_rate=100.0, **common)
    with root, zipkin_client_span(service_name="front", span_name="get /pay") as calling:
        attrs = calling.zipkin_attrs_override or calling.get_tracer().get_zipkin_attrs()
        assert attrs is not None
        passed = ZipkinAttrs(attrs.trace_id, attrs.span_id, attrs.parent_span_id, "0", True)
        serving = zipkin_server_span(service_name="back", span_name="pay", zipkin_attrs=passed, **common)
        with serving, zipkin_span(service_name="back", span_name="check"):
            pass
    return f"{attrs.trace_id:0>32}"


def main() -> None:
    """Runs it."""
    traces = {
        "zipkin": exported(ZipkinExporter(endpoint=ZIPKIN), "zipkin-shop"),
        "jaeger": exported(JaegerExporter(collector_endpoint=JAEGER), "jaeger-shop"),
        "shared": shared(),
    }
    json.dump(traces, sys.stdout)


if __name__ == "__main__":
    main()
