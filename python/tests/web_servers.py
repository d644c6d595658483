"""Web servers in threads of this process, servers in processes of their own, and a client without a library."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, Optional
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from services.process import accepts, free_port
from sink import Sink

#: How long a server may take to answer, in seconds.
_START = 60.0
#: How long it may take to stop, in seconds.
_STOP = 60.0


def until_listening(port: int, alive: Any = lambda: True) -> None:
    """Waits until somebody listens on the port."""
    until = time.monotonic() + _START
    while not accepts(port):
        assert alive() and time.monotonic() < until, "the server did not start"
        time.sleep(0.02)


@contextlib.contextmanager
def uvicorn_serving(app: Any, **options: Any) -> "Iterator[int]":
    """The port of a uvicorn that serves an application, in a thread."""
    import uvicorn

    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        until_listening(port, thread.is_alive)
        yield port
    finally:
        server.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def process_serving(command: "list[str]", sink: Sink, folder: Path, **environ: str) -> "Iterator[tuple[int, Any]]":
    """The port of a server under ``pitviper run``, and its process; ``{port}`` in the command is that port.

    At the end it has to stop by itself, without a word from the agent or about its threads.
    """
    port = free_port()
    variables = {**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20", **environ}
    server = subprocess.Popen(
        [sys.executable, "-m", "pitviper", "run", sys.executable, "-m", *(part.format(port=port) for part in command)],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until_listening(port, lambda: server.poll() is None)
        yield port, server
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            output = server.communicate(timeout=_STOP)[0]
        except subprocess.TimeoutExpired:
            server.kill()
            output = server.communicate()[0]
    assert server.returncode in (0, -signal.SIGTERM), output
    assert "pitviper" not in output.replace(sys.prefix, "").replace("pitviper/__main__", ""), output
    assert "use of fork() may lead to deadlocks" not in output, output


def get(
    port: int, path: str, *headers: str, method: str = "GET", read: Optional[int] = None, body: bytes = b""
) -> "tuple[int, bytes]":
    """One request, on a connection of its own; with ``read`` the client leaves after so many bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        lines = [f"{method} {path} HTTP/1.1", "Host: example.com", "Connection: close", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b""
        while read is None or len(answer) < read:
            part = connection.recv(65536)
            if not part:
                break
            answer += part
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), content


def ended(agent: Any, count: int, scope: str = "") -> "list[Any]":
    """All spans of scopes that begin so, once there are that many: a server ends its span after the client
    has its answer."""
    until = time.monotonic() + 10
    while True:
        spans = [span for span in agent() if span.scope.startswith(scope)]
        if len(spans) >= count:
            return spans
        assert time.monotonic() < until, f"{len(spans)} of {count} spans: {[span.name for span in spans]}"
        time.sleep(0.01)


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 64


@contextlib.contextmanager
def wsgi_serving(app: Any) -> "Iterator[int]":
    """The port of a server of the standard library, with a thread for each request."""
    server = make_server("127.0.0.1", 0, app, server_class=_Threading, handler_class=_Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
