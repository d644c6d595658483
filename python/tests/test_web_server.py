"""What every web integration reads from a request: waiting time, client address, headers."""

import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from web_servers import ended, get

from pitviper.integrations._http import queue_time_ms
from pitviper.integrations._server import client_address
from pitviper.integrations._server_options import options
from pitviper.integrations.wsgi.patches import traced

NOW_S = 1_795_270_000
NOW_NS = NOW_S * 10**9


@pytest.mark.parametrize(
    ("text", "expect"),
    [
        ("t=1795269999.75", 250.0),
        ("1795269999.75", 250.0),
        (" t=1795269999750 ", 250.0),
        ("1795269999750000", 250.0),
        ("t=1795269999750000000", 250.0),
        ("t=1795270000.05", 0.0),
        ("t=1795270000.2", None),
        ("t=1795266399", None),
        ("t=1795266401", 3_599_000.0),
        ("t=0", None),
        ("-1", None),
        ("", None),
        ("t=", None),
        ("nan", None),
        ("1e400", None),
        ("soon", None),
    ],
)
def test_queue_time(text, expect):
    assert queue_time_ms(text, NOW_NS) == expect


@pytest.mark.parametrize(
    ("forwarded", "forwarded_for", "proxies", "expect"),
    [
        ("", "", 1, None),
        ("", "203.0.113.7", 1, "203.0.113.7"),
        ("", "6.6.6.6, 203.0.113.7", 1, "203.0.113.7"),
        ("", "6.6.6.6, 203.0.113.7, 10.0.0.1", 2, "203.0.113.7"),
        ("", "203.0.113.7:4711", 3, "203.0.113.7"),
        ("", "2001:db8::1", 1, "2001:db8::1"),
        ("for=203.0.113.7;proto=https", "6.6.6.6", 1, "203.0.113.7"),
        ('for=6.6.6.6, For="[2001:db8::1]:4711";by=_x', "", 1, "2001:db8::1"),
        ("for=unknown", "", 1, "unknown"),
        (" , ", "", 1, None),
    ],
)
def test_client_address(forwarded, forwarded_for, proxies, expect):
    assert client_address(forwarded, forwarded_for, proxies) == expect


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


def test_wsgi_options(agent):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=b"), ("Set-Cookie", "c=d")])
        return [b"ok"]

    server = make_server("127.0.0.1", 0, traced(app), handler_class=Quiet)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    options.load(
        {
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-Tenant,Content-Type,Cookie",
            "PITVIPER_HTTP_RESPONSE_HEADERS": "content-type,set-cookie",
            "PITVIPER_HTTP_TRUSTED_PROXIES": "1",
            "PITVIPER_HTTP_SENSITIVE_HEADERS": "true",
        }
    )
    try:
        queued = f"X-Queue-Start: {(time.time() - 1) * 1e6:.0f}"
        headers = ("X-Tenant: a", "Content-Type: text/x", "Cookie: s=1", "Forwarded: for=10.1.2.3", queued)
        assert get(server.server_port, "/", *headers) == (200, b"ok")
    finally:
        options.load({})
        server.shutdown()
        server.server_close()
    (span,) = ended(agent, 1)
    assert span.attributes["http.request.header.x-tenant"] == ["a"]
    assert span.attributes["http.request.header.content-type"] == ["text/x"]
    assert span.attributes["http.request.header.cookie"] == ["s=1"]
    assert span.attributes["http.response.header.content-type"] == ["text/plain"]
    assert span.attributes["http.response.header.set-cookie"] == ["a=b", "c=d"]
    assert span.attributes["client.address"] == "10.1.2.3"
    assert 1000 <= span.attributes["http.server.queue_time_ms"] < 10_000


def test_by_default_nothing_a_client_claims_is_believed(agent):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_FORWARDED_FOR": "6.6.6.6",
        "HTTP_AUTHORIZATION": "Bearer x",
        "HTTP_X_REQUEST_START": f"t={time.time() + 60}",
    }
    traced(app)(environ, lambda *_: None).close()
    (span,) = agent()
    assert span.attributes["client.address"] == "127.0.0.1"
    assert not [key for key in span.attributes if "header" in key or "queue" in key]


def test_an_option_that_cannot_be_read_is_told(capsys):
    options.load({"PITVIPER_HTTP_TRUSTED_PROXIES": "all"})
    options.load({})
    assert capsys.readouterr().err.startswith("pitviper: PITVIPER_HTTP_TRUSTED_PROXIES='all' is ignored: use a whole")
