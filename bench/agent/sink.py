"""Stands in for the servers of all agents: takes everything, keeps nothing, answers as each expects.

OTLP, Datadog's agent and Elastic's server are answered over HTTP, New Relic's collector over TLS, with a
certificate made for the occasion. Prints both ports and the file with the certificate's authority.
"""

import json
import ssl
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme

_JSON = "application/json"
#: What Datadog's agent says it takes.
_DATADOG = {
    "version": "7.60.0",
    "endpoints": ["/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.6/stats"],
    "client_drop_p0s": True,
    "config": {"statsd_port": 8125},
}
#: What New Relic's collector says to an agent that connects.
_CONNECTED = {
    "agent_run_id": "1",
    "account_id": "1",
    "primary_application_id": "1",
    "trusted_account_key": "1",
    "entity_guid": "1",
    "cross_process_id": "1#1",
    "encoding_key": "0123456789012345678901234567890123456789",
    "collect_analytics_events": True,
    "collect_custom_events": True,
    "collect_error_events": True,
    "collect_errors": True,
    "collect_span_events": True,
    "collect_traces": True,
    "apdex_t": 0.5,
    "data_report_period": 60,
    "event_harvest_config": {
        "report_period_ms": 5_000,
        "harvest_limits": {
            "analytic_event_data": 100,
            "custom_event_data": 300,
            "error_event_data": 8,
            "span_event_data": 166,
            "log_event_data": 833,
        },
    },
}


def answer(target: str) -> "tuple[int, str, bytes]":
    """Status, type and body of the answer to a request."""
    parts = urlsplit(target)
    path = parts.path
    if path.startswith("/agent_listener"):
        method = parse_qs(parts.query).get("method", [""])[0]
        returned: object = None
        if method == "preconnect":
            returned = {"redirect_host": "127.0.0.1"}
        elif method == "connect":
            returned = _CONNECTED
        elif method == "get_agent_commands":
            returned = []
        return 200, _JSON, json.dumps({"return_value": returned}).encode()
    if path == "/info":
        return 200, _JSON, json.dumps(_DATADOG).encode()
    if path.startswith("/v0."):
        return 200, _JSON, b'{"rate_by_service":{"service:,env:":1.0}}'
    if path.startswith("/v1/"):
        # An empty message: everything was taken.
        return 200, "application/x-protobuf", b""
    if path.startswith("/intake/"):
        return 202, _JSON, b""
    if path.startswith("/config/"):
        return 404, _JSON, b"{}"
    if path == "/":
        return 200, _JSON, b'{"version":"8.17.0"}'
    return 200, "text/plain", b"an answer"


class Handler(BaseHTTPRequestHandler):
    """Reads what is sent and answers."""

    protocol_version = "HTTP/1.1"
    # An answer is one write.
    wbufsize = -1

    def _answer(self) -> None:
        length = self.headers.get("content-length")
        if length:
            self.rfile.read(int(length))
        elif self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        status, kind, body = answer(self.path)
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """Many agents connect at once, and leave when they like."""

    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing."""


def main() -> None:
    """Serves until it is killed."""
    plain = Server(("127.0.0.1", 0), Handler)
    secure = Server(("127.0.0.1", 0), Handler)
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    file = Path(tempfile.mkdtemp(prefix="pitviper-bench-")) / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    print(plain.server_port, secure.server_port, file, flush=True)
    sys.stdout.close()
    plain.serve_forever()


if __name__ == "__main__":
    main()
