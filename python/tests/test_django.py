"""Django by WSGI and by ASGI: whole traces of views of every kind, middleware, templates and the cache."""

import os
import threading
from pathlib import Path

import django_site
import pytest
from sink import lasting, tree
from web_servers import ended, get, process_serving, uvicorn_serving, wsgi_serving

from pitviper.instrument import engine

SITE = "django_site"
STATUS = ("http.response.status_code", "error.type")


@pytest.fixture(params=["wsgi", "asgi"])
def port(agent, request):
    if request.param == "wsgi":
        with wsgi_serving(django_site.wsgi()) as port:
            yield port
    else:
        with uvicorn_serving(django_site.asgi(), lifespan="off") as port:
            yield port


def test_views(agent, port):
    assert get(port, "/items/7/?q=1&password=x") == (200, b"7")
    assert get(port, "/async-items/7/") == (200, b"7")
    assert get(port, "/thing") == (200, b"a thing")
    assert get(port, "/async-thing") == (200, b"an async thing")
    assert get(port, "/old/2026/11") == (200, b"2026")
    spans = ended(agent, 3 + 3 + 3 + 3 + 2)
    assert tree(spans) == [
        ["server GET /items/<int:number>/", [f"internal {SITE}.item", ["client SELECT"]]],
        ["server GET /async-items/<int:number>/", [f"internal {SITE}.async_item", ["internal work"]]],
        ["server GET /thing", [f"internal {SITE}.Thing", ["client SELECT"]]],
        ["server GET /async-thing", [f"internal {SITE}.AsyncThing", ["internal work"]]],
        [r"server GET /old/(?P<year>[^/]+)/(\d{2})", [f"internal {SITE}.<lambda>"]],
    ]
    server = next(span for span in spans if span.name == "GET /items/<int:number>/")
    expected = {
        "http.route": "/items/<int:number>/",
        "http.response.status_code": 200,
        "url.path": "/items/7/",
        "url.query": "q=1&password=***",
        "client.address": "127.0.0.1",
    }
    assert expected.items() <= server.attributes.items()


@pytest.mark.parametrize(
    ("path", "method", "status", "error", "view"),
    [
        ("/fail", "GET", 500, "RuntimeError", "fail"),
        ("/async-fail", "GET", 500, "RuntimeError", "async_fail"),
        ("/thing", "POST", 500, "ValueError", "Thing"),
        ("/broken-middleware", "GET", 500, "KeyError", None),
        ("/missing", "GET", 404, None, "missing"),
        ("/forbidden", "GET", 403, None, "forbidden"),
        ("/nowhere", "GET", 404, None, None),
        ("/async-thing", "DELETE", 405, None, "AsyncThing"),
    ],
)
def test_errors_and_answers(agent, port, path, method, status, error, view):
    assert get(port, path, method=method)[0] == status
    spans = ended(agent, 2 if view else 1)
    name = f"{method} {path}" if view else method
    shown = {"http.response.status_code": status, **({"error.type": error} if error else {})}
    inner = [[f"internal {SITE}.{view}", *([{"error.type": error}] if error else [])]] if view else []
    assert tree(spans, STATUS) == [[f"server {name}", shown, *inner]]
    server = next(span for span in spans if span.kind == "server")
    assert server.status == ("error" if error else "unset")
    recorded = [(span.kind, event["exception.type"]) for span in spans for _, event in span.events]
    assert recorded == ([("internal" if view else "server", error)] if error else [])


def test_a_stream_lasts_to_its_last_byte(agent):
    with wsgi_serving(django_site.wsgi()) as port:
        assert get(port, "/stream") == (200, b"xxx")
    with uvicorn_serving(django_site.asgi(), lifespan="off") as port:
        assert get(port, "/async-stream")[0] == 200
    spans = ended(agent, 10)
    assert tree(spans) == [
        ["server GET /stream", [f"internal {SITE}.stream"], *[["internal producing"]] * 3],
        ["server GET /async-stream", [f"internal {SITE}.async_stream"], *[["internal producing"]] * 3],
    ]
    assert lasting(spans) == [True, True]


def test_who_calls_the_handler_itself_gets_djangos_response(agent):
    from django.http import HttpResponse
    from django.test import RequestFactory

    def start_response(status, headers, exc_info=None):
        assert status == "200 OK"

    handler = django_site.wsgi()
    whole = handler(RequestFactory().get("/items/7/").environ, start_response)
    assert type(whole) is HttpResponse
    assert (whole.status_code, whole.content) == (200, b"7")
    streamed = handler(RequestFactory().get("/stream").environ, start_response)
    assert (streamed.status_code, streamed.streaming) == (200, True)
    assert not [span for span in agent() if span.kind == "server"]
    whole.close()
    assert b"".join(streamed) == b"xxx"
    streamed.close()
    assert [span.name for span in agent() if span.kind == "server"] == ["GET /items/<int:number>/", "GET /stream"]


def test_a_client_that_leaves_is_no_error(agent):
    django_site.ended.clear()
    with uvicorn_serving(django_site.asgi(), lifespan="off") as port:
        assert get(port, "/endless", read=3000)[0] == 200
        server = next(span for span in ended(agent, 2) if span.kind == "server")
    assert (server.name, server.status, server.attributes.get("error.type")) == ("GET /endless", "unset", None)
    assert django_site.ended == [True]


@pytest.mark.parametrize("view", ["slow", "threaded-slow"])
def test_concurrent_requests_do_not_mix(agent, port, view):
    names = [f"n{number}" for number in range(15)]
    clients = [threading.Thread(target=get, args=(port, f"/{view}/{name}")) for name in names]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    trees = tree(ended(agent, 15 * 3))
    view = f"internal {SITE}.{view.replace('-', '_')}"
    route = f"server GET /{view.rpartition('.')[2].replace('_', '-')}/<name>"
    assert sorted(map(str, trees)) == sorted(str([route, [view, [f"internal child {name}"]]]) for name in names)


@pytest.fixture
def detailed(monkeypatch):
    """Django's integration anew, with all options on."""
    for name in ("MIDDLEWARE", "TEMPLATES", "CACHE"):
        monkeypatch.setenv(f"PITVIPER_DJANGO_{name}", "true")
    engine.uninstall()
    engine.install()
    django_site.cache.__class__  # noqa: B018 - the proxy is asked again below
    from django.core.cache import caches

    if hasattr(caches._connections, "default"):
        del caches._connections.default
    yield
    monkeypatch.undo()
    engine.uninstall()
    engine.install()


def test_middleware_templates_and_cache_when_asked(agent, detailed):
    common = "internal django.middleware.common.CommonMiddleware"
    ours = [f"internal {SITE}.Passing", f"internal {SITE}.function_middleware"]
    with wsgi_serving(django_site.wsgi()) as port:
        assert get(port, "/templated") == (200, b"inner")
        assert get(port, "/cached") == (200, b"1")
        assert get(port, "/broken-middleware")[0] == 500
        trees = tree(ended(agent, 6 + 8 + 3), ("cache.hit", "error.type"))
    assert trees[0] == [
        "server GET /templated",
        [common, [ours[0], [ours[1], [f"internal {SITE}.templated", ["internal render <string>"]]]]],
    ]
    operations = [
        ["internal cache get", {"cache.hit": False}],
        ["internal cache set"],
        ["internal cache get", {"cache.hit": True}],
    ]
    view = [f"internal {SITE}.cached", *operations]
    assert trees[1] == ["server GET /cached", [common, [ours[0], [ours[1], view]]]]
    failed = [common, [ours[0], {"error.type": "KeyError"}]]
    assert trees[2] == ["server GET", {"error.type": "KeyError"}, failed]


def test_middleware_under_asgi(agent, detailed):
    with uvicorn_serving(django_site.asgi(), lifespan="off") as port:
        assert get(port, "/async-items/1/")[0] == 200
    view = [f"internal {SITE}.async_item", ["internal work"]]
    assert tree(ended(agent, 6)) == [
        [
            "server GET /async-items/<int:number>/",
            [
                "internal django.middleware.common.CommonMiddleware",
                [f"internal {SITE}.Passing", [f"internal {SITE}.function_middleware", view]],
            ],
        ]
    ]


def test_disabled_and_uninstalled(agent):
    made_before = django_site.wsgi()
    engine.uninstall()
    try:
        for app in (made_before, django_site.wsgi()):
            with wsgi_serving(app) as port:
                assert get(port, "/items/1/")[0] == 200
        assert {span.kind for span in agent()} <= {"client"}
        engine.install(frozenset(("django",)))
        with wsgi_serving(made_before) as port:
            assert get(port, "/async-items/1/")[0] == 200
        assert {span.kind for span in agent() if span.kind != "client"} == {"internal"}
    finally:
        engine.uninstall()
        engine.install()


def test_under_gunicorn(sink, tmp_path):
    environ = {"PYTHONPATH": str(Path(django_site.__file__).parent)}
    command = ["gunicorn", "django_site:application", "-b", "127.0.0.1:{port}", "-w", "2"]
    with process_serving(command, sink, tmp_path, **environ) as (port, server):
        status, pid = get(port, "/process")
        assert (status, pid != str(server.pid).encode()) == (200, True)
        spans = sink.wait_for(3)
    assert tree(spans) == [["server GET /process", [f"internal {SITE}.process", ["client SELECT"]]]]
    assert {span.resource["process.pid"] for span in spans} == {int(pid)}, os.getpid()
