"""A real OTLP/HTTP receiver for tests: keeps what it gets, and shows it as trees."""

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Optional

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_KINDS = ("?", "internal", "server", "client", "producer", "consumer")


class Span:
    """A span that arrived."""

    def __init__(self, span: Any, resource: "dict[str, Any]", scope: str) -> None:
        self.name: str = span.name
        self.kind = _KINDS[span.kind]
        self.trace_id: str = span.trace_id.hex()
        self.span_id: str = span.span_id.hex()
        self.parent: str = span.parent_span_id.hex()
        self.attributes = {pair.key: _value(pair.value) for pair in span.attributes}
        self.events = [(event.name, {p.key: _value(p.value) for p in event.attributes}) for event in span.events]
        self.links = [link.span_id.hex() for link in span.links]
        self.status = ("unset", "ok", "error")[span.status.code]
        self.status_message: str = span.status.message
        self.duration_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
        self.start_ns: int = span.start_time_unix_nano
        self.resource = resource
        self.scope = scope


def _value(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which == "array_value":
        return [_value(item) for item in value.array_value.values]
    if which == "kvlist_value":
        return {pair.key: _value(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, which) if which else None


class Sink:
    """Listens on a free port of this machine."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.requests: list[dict[str, str]] = []
        #: Statuses to answer with before answering 200.
        self.refusals: list[int] = []
        self._changed = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = sink.refusals.pop(0) if sink.refusals else 200
                if status == 200:
                    sink.keep(body, {key.lower(): value for key, value in self.headers.items()})
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def keep(self, body: bytes, headers: "dict[str, str]") -> None:
        """Takes one request."""
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self.requests.append(headers)
            for resource_spans in request.resource_spans:
                resource = {pair.key: _value(pair.value) for pair in resource_spans.resource.attributes}
                for scope_spans in resource_spans.scope_spans:
                    self.spans += [Span(span, resource, scope_spans.scope.name) for span in scope_spans.spans]
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 10.0) -> "list[Span]":
        """The spans, once there are that many."""
        until = time.monotonic() + timeout
        with self._changed:
            while len(self.spans) < count:
                rest = until - time.monotonic()
                if rest <= 0:
                    raise AssertionError(f"{len(self.spans)} of {count} spans arrived: {[s.name for s in self.spans]}")
                self._changed.wait(rest)
            return list(self.spans)

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


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
