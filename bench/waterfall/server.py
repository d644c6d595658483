"""The built UI with an API that knows a few answers, over HTTP."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def details(trace: "dict[str, Any]", span_id: str) -> "dict[str, Any]":
    """What the server would say of one span."""
    row = trace["id"].index(span_id)
    service = trace["strings"][trace["services"][trace["svc"][row]]["name"]]
    return {
        "trace_id": trace["trace_id"],
        "span_id": span_id,
        "parent_span_id": trace["id"][trace["parent"][row]] if row else None,
        "name": trace["strings"][trace["name"][row]],
        "kind": "internal",
        "service": service,
        "start_us": trace["t0_us"] + trace["start"][row] // 1000,
        "dur_ns": trace["dur"][row],
        "status": "error" if trace["status"][row] == 2 else "unset",
        "status_message": "",
        "attributes": {},
        "events": [],
        "links": [],
        "resource": {"service.name": service},
        "scope": {"name": "bench", "version": ""},
    }


#: From a path with its query to a JSON document; None for what is a file of the UI.
Answer = Callable[[str, "dict[str, list[str]]"], "bytes | None"]


def trace_answers(trace: "dict[str, Any]") -> Answer:
    """What the server would answer to questions about one trace."""
    page = f"/api/v1/traces/{trace['trace_id']}"
    whole = json.dumps({"data": trace, "meta": {"exact": True}}, separators=(",", ":")).encode()

    def answer(path: str, query: "dict[str, list[str]]") -> "bytes | None":
        if path == page:
            return whole
        if path == f"{page}/spans":
            return json.dumps({"data": [details(trace, query["ids"][0])], "meta": {}}).encode()
        return None

    return answer


@contextlib.contextmanager
def serve(dist: Path, answer: Answer) -> "Iterator[str]":
    """Serves until the block ends; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        """Answers from memory and from the built files."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answers a GET request."""
            url = urlsplit(self.path)
            document = answer(url.path, parse_qs(url.query))
            if document is not None:
                self.send("application/json", document)
                return
            file = dist / url.path.lstrip("/")
            found = file if file.is_file() else dist / "index.html"
            self.send(TYPES.get(found.suffix, "application/octet-stream"), found.read_bytes())

        def do_POST(self) -> None:
            """Answers a POST request, whatever its body."""
            self.rfile.read(int(self.headers.get("content-length", 0)))
            url = urlsplit(self.path)
            self.send("application/json", answer(url.path, parse_qs(url.query)) or b"{}")

        def send(self, content_type: str, body: bytes) -> None:
            """Sends an answer."""
            self.send_response(200)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    class Quiet(ThreadingHTTPServer):
        """Does not mind that a closed page hangs up."""

        def handle_error(self, request: object, client_address: object) -> None:
            """Says nothing."""

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
