"""A real OTLP/HTTP receiver for tests: keeps what it gets, and shows it as trees."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Optional

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pprof import Profile

_KINDS = ("?", "internal", "server", "client", "producer", "consumer")


class Span:
    """A span that arrived."""

    def __init__(self, span: Any, resource: "dict[str, Any]", scope: str) -> None:
        self.name: str = span.name
        self.kind = _KINDS[span.kind]
        self.trace_id: str = span.trace_id.hex()
        self.span_id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.attributes = _attributes(span.attributes)
        self.events = [(event.name, _attributes(event.attributes)) for event in span.events]
        self.links = [link.span_id.hex() for link in span.links]
        self.status = ("unset", "ok", "error")[span.status.code]
        self.status_message: str = span.status.message
        self.duration_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        self.start_ns: int = span.start_time_unix_nano
        self.end_ns: int = span.end_time_unix_nano
        self.resource = resource
        self.scope = scope


class Log:
    """A log record that arrived."""

    def __init__(self, record: Any, resource: "dict[str, Any]", scope: Any) -> None:
        self.body = _value(record.body)
        self.severity: int = record.severity_number
        self.severity_text: str = record.severity_text
        self.event_name: str = record.event_name
        self.attributes = _attributes(record.attributes)
        self.trace_id: str = record.trace_id.hex()
        self.span_id: str = record.span_id.hex()
        self.flags: int = record.flags
        self.time_ns: int = record.time_unix_nano
        self.observed_ns: int = record.observed_time_unix_nano
        self.resource = resource
        self.scope: str = scope.name
        self.scope_version: str = scope.version


class Point:
    """A metric point that arrived."""

    def __init__(self, metric: Any, point: Any, resource: "dict[str, Any]", scope: Any) -> None:
        self.name: str = metric.name
        self.unit: str = metric.unit
        self.description: str = metric.description
        self.kind: str = metric.WhichOneof("data")
        data = getattr(metric, self.kind)
        self.temporality = ("unspecified", "delta", "cumulative")[getattr(data, "aggregation_temporality", 0)]
        self.is_monotonic: bool = getattr(data, "is_monotonic", False)
        #: The whole point as it lay on the wire.
        self.point = point
        self.value = getattr(point, point.WhichOneof("value")) if self.kind in ("gauge", "sum") else None
        self.attributes = _attributes(point.attributes)
        self.start_ns: int = point.start_time_unix_nano
        self.time_ns: int = point.time_unix_nano
        self.resource = resource
        self.scope: str = scope.name
        self.scope_version: str = scope.version


def _attributes(pairs: Any) -> "dict[str, Any]":
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return getattr(value, which) if which else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Many processes may end at once.
    request_queue_size = 128


class Sink:
    """Listens on a free port of this machine."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[Log] = []
        self.points: list[Point] = []
        self.profiles: list[Profile] = []
        #: Headers of the requests with spans, and of all requests by path.
        self.requests: list[dict[str, str]] = []
        self.by_path: dict[str, list[dict[str, str]]] = {}
        #: Statuses to answer with before answering 200: to requests with spans, and by path.
        self.refusals: list[int] = []
        self.refusals_by_path: dict[str, list[int]] = {}
        #: What whoever asks for settings is told, as JSON; None to know nothing of settings.
        self.settings: Optional[str] = None
        self._changed = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                path, _, query = self.path.partition("?")
                refusals = sink.refusals_by_path.get(path) or (sink.refusals if _is_traces(path) else [])
                status = refusals.pop(0) if refusals else 200
                if status == 200:
                    sink.keep(path, query, body, {key.lower(): value for key, value in self.headers.items()})
                self.send_response(status)
                if sink.settings is not None and "pitviper-settings-for" in self.headers:
                    self.send_header("pitviper-settings", sink.settings)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def keep(self, path: str, query: str, body: bytes, headers: "dict[str, str]") -> None:
        """Takes one request."""
        with self._changed:
            self.by_path.setdefault(path, []).append(headers)
            if path.endswith("/v1/pprof"):
                self.profiles.append(Profile(body, query))
            elif path.endswith("/v1/logs"):
                for group in ExportLogsServiceRequest.FromString(body).resource_logs:
                    resource = _attributes(group.resource.attributes)
                    for scoped in group.scope_logs:
                        self.logs += [Log(record, resource, scoped.scope) for record in scoped.log_records]
            elif path.endswith("/v1/metrics"):
                for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    resource = _attributes(group.resource.attributes)
                    for scoped in group.scope_metrics:
                        for metric in scoped.metrics:
                            points = getattr(metric, metric.WhichOneof("data")).data_points
                            self.points += [Point(metric, point, resource, scoped.scope) for point in points]
            else:
                self.requests.append(headers)
                for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                    resource = _attributes(group.resource.attributes)
                    for scoped in group.scope_spans:
                        self.spans += [Span(span, resource, scoped.scope.name) for span in scoped.spans]
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 10.0) -> "list[Span]":
        """The spans, once there are that many."""
        self.wait_until(
            lambda: len(self.spans) >= count,
            lambda: f"of {count} spans arrived {[s.name for s in self.spans]}",
            timeout,
        )
        return list(self.spans)

    def wait_until(
        self, arrived: "Callable[[], bool]", complaint: "Callable[[], str]" = lambda: "", timeout: float = 10.0
    ) -> None:
        """Waits until what arrived is enough."""
        until = time.monotonic() + timeout
        with self._changed:
            while not arrived():
                rest = until - time.monotonic()
                if rest <= 0:
                    raise AssertionError(complaint())
                self._changed.wait(rest)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


def _is_traces(path: str) -> bool:
    return not path.endswith(("/v1/logs", "/v1/metrics", "/v1/pprof"))


def tree(spans: "list[Span]", attributes: "tuple[str, ...]" = (), parent: Optional[str] = None) -> "list[Any]":
    """The spans as nested lists ``[kind, name, {attributes}, child, ...]``, children by start. A span
    whose parent did not arrive counts as a root."""
    ids = {span.span_id for span in spans}
    out = []
    for span in sorted(spans, key=lambda span: span.start_ns):
        own = span.parent if span.parent in ids else None
        if own == parent:
            chosen = {key: span.attributes[key] for key in attributes if key in span.attributes}
            node: list[Any] = [f"{span.kind} {span.name}"]
            if chosen:
                node.append(chosen)
            out.append(node + tree(spans, attributes, span.span_id))
    return out


def lasting(spans: "list[Span]") -> "list[bool]":
    """Of each server span, by start, whether it ended after everything within its trace did."""
    servers = sorted((span for span in spans if span.kind == "server"), key=lambda span: span.start_ns)
    ends = {server: max(span.end_ns for span in spans if span.trace_id == server.trace_id) for server in servers}
    return [server.end_ns == end for server, end in ends.items()]
