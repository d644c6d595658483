"""requests, urllib3 and http.client: what is sent, whose span it is, and what becomes of failures."""

import http.client
import os
import socket
import threading
import urllib.error
import urllib.request

import pytest
import requests
import urllib3
from requests.auth import HTTPDigestAuth
from sink import tree
from urllib3._collections import HTTPHeaderDict

from pitviper import _native, tracer

RESEND = "http.request.resend_count"
STATUS = "http.response.status_code"


@pytest.fixture
def refused():
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        yield port


def traceparents(server):
    return [seen["traceparent"] for seen in server.seen]


def sent_by(spans):
    return [f"00-{span.trace_id}-{span.span_id}-03" for span in spans]


def in_order(spans):
    return sorted(spans, key=lambda span: span.start_ns)


def pool(server, **options):
    return urllib3.HTTPConnectionPool("localhost", server.server_port, **options)


def fetch_urllib(url, method="GET"):
    request = urllib.request.Request(url, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return response.status, response.read()


def fetch_requests(url, method="GET"):
    response = requests.request(method, url)
    return response.status_code, response.content


def fetch_urllib3(url, method="GET"):
    response = urllib3.PoolManager().request(method, url)
    return response.status, response.data


CLIENTS = {
    "pitviper.requests": fetch_requests,
    "pitviper.urllib3": fetch_urllib3,
    "pitviper.http_client": fetch_urllib,
}


@pytest.fixture(params=CLIENTS.items(), ids=lambda item: item[0][9:])
def client(request):
    """Each library's way to fetch a URL, with the name of its scope."""
    return request.param


def test_a_call_has_one_span_and_sends_its_context(agent, http, client):
    scope, fetch = client
    with tracer.start_as_current_span("request"):
        assert fetch(f"{http.url}/?page=1&token=secret") == (200, b"hello")
    spans = agent()
    assert tree(spans) == [["internal request", ["client GET"]]]
    (span,) = (span for span in spans if span.kind == "client")
    assert span.scope == scope
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{http.url}/?page=1&token=***",
        "server.address": "localhost",
        "server.port": http.server_port,
        "http.response.status_code": 200,
    }
    assert span.status == "unset"
    assert traceparents(http) == sent_by([span])


def test_a_redirect_is_a_request_of_its_own(agent, http, client):
    scope, fetch = client
    with tracer.start_as_current_span("request"):
        fetch(f"{http.url}/redirect/2")
    spans = in_order(agent())
    counted = scope != "pitviper.http_client"
    assert tree(spans, (STATUS, RESEND)) == [
        [
            "internal request",
            ["client GET", {STATUS: 302}],
            ["client GET", {STATUS: 302, RESEND: 1} if counted else {STATUS: 302}],
            ["client GET", {STATUS: 200, RESEND: 2} if counted else {STATUS: 200}],
        ]
    ]
    assert [span.attributes["url.full"] for span in spans[1:]] == [f"{http.url}{path}" for path in http.paths]
    assert traceparents(http) == sent_by(spans[1:])


def test_a_redirect_that_is_not_followed(agent, http):
    assert requests.get(f"{http.url}/redirect/1", allow_redirects=False).next.url == f"{http.url}/"
    pool(http).urlopen("GET", "/redirect/1", redirect=False)
    assert tree(agent(), (STATUS, RESEND)) == [["client GET", {STATUS: 302}]] * 2


def test_a_redirect_that_the_application_follows_by_itself(agent, http):
    session = requests.Session()
    request = session.get(f"{http.url}/redirect/1", allow_redirects=False).next
    assert session.send(request).status_code == session.send(request).status_code == 200
    # Sent another time it is a request of the application's own.
    found = [["client GET", {STATUS: 302}], ["client GET", {STATUS: 200, RESEND: 1}], ["client GET", {STATUS: 200}]]
    assert tree(in_order(agent()), (STATUS, RESEND)) == found
    assert len(traceparents(http)) == 3


def test_a_redirect_to_nowhere_fails_the_request_that_failed(agent, http):
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{http.url}/away")
    # Without what other tests left running in this process.
    spans = [span for span in in_order(agent()) if span.scope == "pitviper.requests"]
    assert [(span.status, span.attributes.get(RESEND)) for span in spans] == [("unset", None), ("error", 1)]
    assert spans[1].attributes["error.type"] == "requests.exceptions.ConnectionError"


def test_retries_are_requests_of_their_own(agent, http):
    retry = urllib3.Retry(2, status_forcelist=[503], backoff_factor=0)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        pool(http, retries=retry).urlopen("GET", "/status/503")
    assert tree(agent(), (STATUS, RESEND)) == [
        ["client GET", {STATUS: 503}],
        ["client GET", {STATUS: 503, RESEND: 1}],
        ["client GET", {STATUS: 503, RESEND: 2}],
    ]


@pytest.mark.parametrize("status", [404, 500])
def test_a_status_of_400_and_above_is_a_failed_call(agent, http, client, status):
    scope, fetch = client
    if scope == "pitviper.http_client":
        with pytest.raises(urllib.error.HTTPError):
            fetch(f"{http.url}/status/{status}")
    else:
        fetch(f"{http.url}/status/{status}")
    (span,) = agent()
    assert (span.attributes[STATUS], span.attributes["error.type"], span.status) == (status, str(status), "error")
    assert span.events == []


def test_a_method_of_ones_own(agent, http, client):
    _, fetch = client
    fetch(http.url, "PURGE")
    (span,) = agent()
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PURGE"


def failures(refused, http, https):
    return {
        "refused": f"http://localhost:{refused}/",
        "name": "http://nowhere.invalid/",
        "reset": f"{http.url}/reset",
        "certificate": f"{https.url}/",
    }


@pytest.mark.parametrize("failure", ["refused", "name", "reset", "certificate"])
def test_a_failure_is_recorded_and_passes(agent, refused, http, https, client, failure):
    scope, fetch = client
    url = failures(refused, http, https)[failure]
    with pytest.raises(Exception) as raised:
        if scope == "pitviper.urllib3":
            urllib3.PoolManager(retries=False).request("GET", url)
        else:
            fetch(url)
    (span,) = agent()
    assert span.status == "error"
    ((event, attributes),) = span.events
    assert event == "exception"
    assert attributes["exception.type"] == span.attributes["error.type"]
    if scope == "pitviper.requests":
        # The others raise what happened within another exception.
        kind = type(raised.value)
        assert attributes["exception.type"] == f"{kind.__module__}.{kind.__qualname__}"
    assert STATUS not in span.attributes


def test_timeouts(agent, http):
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{http.url}/slow", timeout=0.05)
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        pool(http, retries=False, timeout=0.05).urlopen("GET", "/slow")
    with pytest.raises(socket.timeout):
        connection = http_client(http, timeout=0.05)
        connection.request("GET", "/slow")
        connection.getresponse()
    assert [(span.status, span.attributes["error.type"].rpartition(".")[2]) for span in in_order(agent())] == [
        ("error", "ReadTimeout"),
        ("error", "ReadTimeoutError"),
        ("error", "TimeoutError" if TimeoutError is socket.timeout else "timeout"),
    ]


def http_client(server, **options):
    return http.client.HTTPConnection("localhost", server.server_port, **options)


def test_https_is_told_by_the_url(agent, https, certificates):
    requests.get(https.url, verify=str(certificates.authority))
    urllib3.PoolManager(ssl_context=certificates.client()).request("GET", https.url)
    connection = http.client.HTTPSConnection("localhost", https.server_port, context=certificates.client())
    connection.request("GET", "/")
    connection.getresponse().read()
    connection.close()
    spans = in_order(agent())
    assert [span.attributes["url.full"] for span in spans] == [f"{https.url}/"] * 3
    assert traceparents(https) == sent_by(spans)


def test_through_a_proxy(agent, http, https, proxy, certificates):
    proxies = {"http": proxy.url, "https": proxy.url}
    requests.get(http.url, proxies=proxies)
    requests.get(https.url, proxies=proxies, verify=str(certificates.authority))
    manager = urllib3.ProxyManager(proxy.url, ssl_context=certificates.client())
    manager.request("GET", http.url)
    manager.request("GET", https.url)
    handlers = [urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=certificates.client())]
    opener = urllib.request.build_opener(*handlers)
    # urllib.request goes directly to what it takes for this machine only when the environment says so.
    opener.open(http.url).close()
    opener.open(https.url).close()
    spans = in_order(agent())
    assert [span.attributes["url.full"].rstrip("/") for span in spans] == [http.url, https.url] * 3
    assert [span.attributes["server.port"] for span in spans] == [http.server_port, https.server_port] * 3
    assert len(proxy.seen) == 6
    assert traceparents(http) == sent_by(spans[::2])
    assert traceparents(https) == sent_by(spans[1::2])


def test_a_tunnel_that_is_not_opened(agent, proxy):
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://closed.invalid/", proxies={"https": proxy.url})
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        urllib3.ProxyManager(proxy.url, retries=urllib3.Retry(0)).request("GET", "https://closed.invalid/")
    through_requests, through_urllib3 = in_order(agent())
    assert (through_requests.name, through_requests.status) == ("GET", "error")
    assert (through_urllib3.name, through_urllib3.status) == ("CONNECT", "error")
    assert through_urllib3.attributes["server.port"] == proxy.server_port


def test_a_challenge_is_answered_by_a_request_of_its_own(agent, http):
    response = requests.get(f"{http.url}/challenge", auth=HTTPDigestAuth("user", "word"))
    assert response.status_code == 200
    assert sorted(span.attributes[STATUS] for span in agent())[-1] == 401 or len(http.seen) == 2


def test_a_response_that_is_streamed(agent, http):
    with requests.get(f"{http.url}/stream", stream=True) as response:
        assert b"".join(response.iter_content(4)) == b"lump" * 3
    raw = pool(http).urlopen("GET", "/stream", preload_content=False)
    assert b"".join(raw.stream(4)) == b"lump" * 3
    connection = http_client(http)
    connection.request("GET", "/stream")
    response = connection.getresponse()
    with tracer.start_as_current_span("reading"):
        assert response.read() == b"lump" * 3
    connection.close()
    assert tree(agent()) == [["client GET"]] * 3 + [["internal reading"]]


def test_several_values_of_one_header_stay_apart(agent, http):
    headers = HTTPHeaderDict([("Cookie", "a=1"), ("Cookie", "b=2")])
    manager = urllib3.PoolManager(headers=headers)
    manager.request("GET", http.url)
    pool(http).urlopen("GET", "/", None, headers)
    assert [seen.get_all("cookie") for seen in http.seen] == [["a=1", "b=2"]] * 2
    assert all(len(seen.get_all("traceparent")) == 1 for seen in http.seen)
    assert "traceparent" not in headers
    agent()


def test_http_client_call_by_call(agent, http):
    connection = http_client(http)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", "2")
    connection.putheader("cookie", "a=1")
    connection.putheader("cookie", "b=2")
    connection.endheaders()
    connection.send(b"xy")
    assert connection.getresponse().read() == b"hello"
    # Given up, and used again.
    connection.request("GET", "/slow")
    connection.close()
    connection.request("GET", "/", headers={"traceparent": "mine"})
    connection.getresponse().read()
    connection.close()
    assert http.seen[0].get_all("cookie") == ["a=1", "b=2"]
    assert "mine" in traceparents(http)
    assert tree(agent(), (STATUS,)) == [["client POST", {STATUS: 200}], ["client GET"], ["client GET", {STATUS: 200}]]


def test_arguments_by_name(agent, http):
    connection = http_client(http)
    connection.putrequest(method="GET", url="/")
    connection.endheaders()
    connection.getresponse().read()
    session = requests.Session()
    prepared = session.prepare_request(requests.Request("GET", http.url))
    assert session.send(request=prepared).status_code == 200
    assert pool(http).urlopen(method="GET", url="/", headers={}).status == 200
    assert tree(agent(), (STATUS,)) == [["client GET", {STATUS: 200}]] * 3
    with pytest.raises(TypeError, match="send"):
        session.send()
    agent()


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


@pytest.mark.skipif(urllib3.__version__ < "2", reason="urllib3 1 itself sets items of what it is given")
def test_headers_that_take_no_context_are_sent_as_they_are(run, sink, http):
    source = f"""
import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
import urllib3, pitviper
from pitviper import _native
from test_clients import Sealed
urllib3.HTTPConnectionPool("127.0.0.1", {http.server_port}).urlopen("GET", "/", None, Sealed([("x-own", "1")]))
print(_native.current_span())
"""
    done = run(source, PITVIPER_TESTING_RAISE="")
    assert (done.stdout, done.stderr) == ("None\n", "")
    assert [seen["x-own"] for seen in http.seen] == ["1"]
    assert [span.name for span in sink.wait_for(1)] == ["GET"]


def test_a_client_span_of_the_applications_own_hides_nothing(agent, http, client):
    with tracer.start_as_current_span("own", kind=3):
        client[1](http.url)
    assert tree(agent()) == [["client own", ["client GET"]]]


def test_a_call_below_a_span_inside_a_call_is_traced(agent, http):
    def ask(response, **_):
        with tracer.start_as_current_span("own", kind=3):
            urllib3.PoolManager().request("GET", http.url)

    requests.get(http.url, hooks={"response": ask})
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
    assert [span.status for span in sink.wait_for(2)] == ["unset", "error"]


def test_threads_keep_their_calls_apart(agent, http):
    def fetch(number):
        with tracer.start_as_current_span(f"request {number}"):
            requests.get(f"{http.url}/redirect/1")

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trees = sorted(tree(agent(), (RESEND,)))
    calls = [["client GET"], ["client GET", {RESEND: 1}]]
    assert trees == [[f"internal request {number}", *calls] for number in range(8)]


def test_nothing_stays_under_way(agent, refused, http):
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://127.0.0.1:{refused}")
    requests.get(f"{http.url}/redirect/1")
    pool(http).urlopen("GET", "/")
    assert not _native.inside_call() and _native.current_call() is None
    # A span that has ended hides nothing, even while it is current.
    call = _native.start_http_call("GET", http.url, "test")
    assert _native.current_call() is call and _native.inside_call()
    call.end()
    token = _native.activate(call)
    assert not _native.inside_call()
    _native.deactivate(token)
    agent()


OFF = """
import sys, http.client, requests, urllib3
from pitviper.instrument import engine
url, mode = sys.argv[1:]
session, pool = requests.Session(), urllib3.PoolManager()
connection = http.client.HTTPConnection(url[7:])
if mode == "uninstall":
    session.get(url)
    connection.putrequest("GET", "/")
    engine.uninstall()
else:
    connection.putrequest("GET", "/")
session.get(url); pool.request("GET", url)
connection.endheaders()
print(connection.getresponse().status, any(hasattr(function, "__wrapped__") for function in (
    requests.Session.send, requests.Session.rebuild_method, http.client.HTTPConnection.putrequest,
    urllib3.HTTPConnectionPool._make_request)))
"""


def test_disabled_integrations_send_no_context(run, sink, http):
    done = run(OFF, http.url, "disabled", PITVIPER_INTEGRATIONS_DISABLED="requests,urllib3,http_client")
    assert (done.stdout, done.stderr) == ("200 False\n", "")
    assert traceparents(http) == [None] * 3
    assert sink.spans == []


def test_uninstalled_objects_go_on_working(run, sink, http):
    done = run(OFF, http.url, "uninstall")
    assert (done.stdout, done.stderr) == ("200 False\n", "")
    assert [bool(parent) for parent in traceparents(http)] == [True, False, False, False]


def test_a_call_that_is_not_sampled_counts_once(run, http):
    source = """
import sys, requests
from pitviper import _native
requests.get(sys.argv[1])
stats = _native.stats()
print(stats["started"], stats["sampled_out"])
"""
    done = run(source, http.url, PITVIPER_SAMPLE_RATE="0")
    assert (done.stdout, done.stderr) == ("1 1\n", "")
    ((parent,),) = [seen.get_all("traceparent") for seen in http.seen]
    assert parent.endswith("-02")
