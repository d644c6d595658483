"""requests and urllib3: what is sent, and whose span it is."""

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import urllib3
from sink import tree

from pitviper import tracer


class Echo(BaseHTTPRequestHandler):
    """Answers 200, or redirects once; remembers the headers of each request."""

    def do_GET(self):
        self.server.seen.append(self.headers)
        redirect = self.path == "/redirect"
        self.send_response(302 if redirect else 200)
        if redirect:
            self.send_header("location", "/")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def echo():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


class Sealed:
    """As much of a mapping as urllib3 needs; nobody can add to it one by one, nor make a dict of it."""

    def __init__(self, items):
        self._items = items

    def __iter__(self):
        return iter(name for name, _ in self._items)

    def items(self):
        return self._items

    def copy(self):
        return Sealed(list(self._items))

    def update(self, other):
        self._items += other.items()


def test_several_values_of_one_header_stay_apart(agent, echo):
    headers = urllib3.HTTPHeaderDict([("Cookie", "a=1"), ("Cookie", "b=2")])
    pool = urllib3.PoolManager(headers=headers)
    pool.request("GET", echo.url)
    urllib3.HTTPConnectionPool("127.0.0.1", echo.server_port).urlopen("GET", "/", None, headers)
    assert [seen.get_all("cookie") for seen in echo.seen] == [["a=1", "b=2"]] * 2
    assert all(seen["traceparent"] for seen in echo.seen)
    assert "traceparent" not in headers
    agent()


def test_headers_that_take_no_context_are_sent_as_they_are(run, sink, echo):
    source = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import urllib3, pitviper
from pitviper import _native
from test_clients import Sealed
urllib3.HTTPConnectionPool("127.0.0.1", {echo.server_port}).urlopen("GET", "/", None, Sealed([("x-own", "1")]))
print(_native.current_span())
"""
    done = run(source, PITVIPER_TESTING_RAISE="")
    assert (done.stdout, done.stderr) == ("None\n", "")
    assert [seen["x-own"] for seen in echo.seen] == ["1"]
    assert [span.name for span in sink.wait_for(1)] == ["GET"]


@pytest.mark.parametrize("path", ["/", "/redirect"])
def test_a_client_span_of_the_applications_own_hides_nothing(agent, echo, path):
    with tracer.start_as_current_span("own", kind=3):
        requests.get(echo.url + path)
        urllib3.HTTPConnectionPool("127.0.0.1", echo.server_port).urlopen("GET", path)
    assert tree(agent()) == [["client own", ["client GET"], ["client GET"]]]


def test_a_call_below_a_span_inside_a_call_is_traced(agent, echo):
    def ask(response, **_):
        with tracer.start_as_current_span("own", kind=3):
            urllib3.PoolManager().request("GET", echo.url)

    requests.get(echo.url, hooks={"response": ask})
    assert tree(agent()) == [["client GET", ["client own", ["client GET"]]]]


COUNT = """
import io, pitviper, requests
sent = []
class Adapter(requests.adapters.BaseAdapter):
    def close(self): pass
    def send(self, request, **_):
        sent.append(request.url)
        if request.url.endswith("/end"):
            raise requests.ConnectionError("away")
        response = requests.Response()
        response.status_code, response.headers["location"], response.request = 302, "/end", request
        response.url, response.raw = request.url, io.BytesIO()
        return response
session = requests.Session()
session.mount("http://", Adapter())
try:
    session.get("http://shop/begin")
except requests.ConnectionError:
    print(sent)
"""


def test_a_failed_call_inside_a_call_is_not_sent_again(run, sink):
    done = run(COUNT, PITVIPER_TESTING_RAISE="")
    assert done.stdout == "['http://shop/begin', 'http://shop/end']\n", done.stderr
    assert [span.status for span in sink.wait_for(1)] == ["error"]


def test_nothing_stays_under_way(agent):
    from pitviper.integrations import _client

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{port}")
    assert not _client._under_way
    agent()
