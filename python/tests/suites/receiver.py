"""A receiver for what a suite's processes export: it answers, and counts."""

import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Takes what is exported to it.

    Args:
        refuses: The share of requests that are refused, or cut off without an answer.
        seed: Which of them.
    """

    def __init__(self, refuses: float = 0.0, seed: int = 0) -> None:
        #: Requests with spans, and with profiles.
        self.taken = self.profiles = 0
        self.refused = 0
        chance = random.Random(seed)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                if chance.random() < refuses:
                    receiver.refused += 1
                    if chance.random() < 0.5:
                        self.close_connection = True
                        return
                    self.send_response(chance.choice((400, 429, 503)))
                else:
                    receiver.taken += self.path.endswith("/v1/traces")
                    receiver.profiles += self.path.partition("?")[0].endswith("/v1/pprof")
                    self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
