"""An HTTP server with a path for each thing that can happen, the same over TLS, and a proxy."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme

_CHUNKS = 3


class Server(ThreadingHTTPServer):
    """Remembers the headers of each request."""

    daemon_threads = True
    scheme = "http"

    def __init__(self, handler: "type[BaseHTTPRequestHandler]") -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.seen: list[Message] = []
        self.paths: list[str] = []

    @property
    def url(self) -> str:
        """Its address, by name."""
        return f"{self.scheme}://localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What breaks a connection here is a test's intention."""


class Handler(BaseHTTPRequestHandler):
    """``/`` answers 200 and its name; the other paths are below."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(self.headers)
        self.server.paths.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            self.answer(int(path[8:]))
        elif path.startswith("/redirect/"):
            # /redirect/2 leads to /redirect/1, and that to /.
            left = int(path[10:]) - 1
            self.answer(302, [("location", f"/redirect/{left}" if left else "/")])
        elif path == "/away":
            self.answer(302, [("location", "http://localhost:1/")])
        elif path == "/stream":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for _ in range(_CHUNKS):
                self.wfile.write(b"4\r\nlump\r\n")
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/slow":
            time.sleep(0.5)
            self.answer(200)
        elif path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            self.connection.close()
        elif path == "/challenge" and "authorization" not in self.headers:
            self.answer(401, [("www-authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5')])
        else:
            self.answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    do_PURGE = do_POST

    def answer(self, status: int, headers: "list[tuple[str, str]]" = []) -> None:  # noqa: B006
        body = b"hello"
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Proxy(Handler):
    """Asks for absolute addresses on behalf of others, and opens tunnels."""

    def do_GET(self) -> None:
        self.server.seen.append(self.headers)
        target = urlsplit(self.path)
        if target.hostname == "closed.invalid":
            self.answer(502)
            return
        with socket.create_connection((target.hostname, target.port)) as there:
            lines = [f"{self.command} {target.path or '/'} HTTP/1.1"]
            lines += [f"{name}: {value}" for name, value in self.headers.items()]
            there.sendall("\r\n".join([*lines, "connection: close", "", ""]).encode())
            while block := there.recv(65536):
                self.connection.sendall(block)
        self.close_connection = True

    def do_CONNECT(self) -> None:
        self.server.seen.append(self.headers)
        host, _, port = self.path.partition(":")
        if host == "closed.invalid":
            self.answer(403)
            return
        with socket.create_connection((host, int(port))) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                readable, _, _ = select.select(list(ends), [], [], 10)
                if not readable:
                    break
                for end in readable:
                    block = end.recv(65536)
                    if not block:
                        self.close_connection = True
                        return
                    ends[end].sendall(block)


@contextlib.contextmanager
def serving(server: Server) -> "Iterator[Server]":
    """Serves in threads until the end of the block."""
    threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def http() -> "Iterator[Server]":
    """A server."""
    with serving(Server(Handler)) as server:
        yield server


@pytest.fixture
def proxy() -> "Iterator[Server]":
    """A proxy."""
    with serving(Server(Proxy)) as server:
        yield server


class Certificates:
    """An authority, and a server's certificate from it."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.authority = folder / "authority.pem"
        self.key = folder / "key.pem"
        self.chain = folder / "chain.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_pem.write_to_path(str(self.key))
        for part in certificate.cert_chain_pems:
            part.write_to_path(str(self.chain), append=True)

    def client(self) -> ssl.SSLContext:
        """What a client needs that trusts the authority."""
        return ssl.create_default_context(cafile=str(self.authority))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates for ``localhost``."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def https(certificates: Certificates) -> "Iterator[Server]":
    """A server that speaks TLS."""
    server = Server(Handler)
    server.scheme = "https"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server) as running:
        yield running
