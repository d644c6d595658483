"""The applications that serve the requests that are measured, each in the process itself."""

import asyncio
import io
import sqlite3
from typing import Any, Callable

from agents import Bare


def flask_requests(agent: Bare, port: str) -> "Callable[[int], None]":
    """Flask: SQL and a template, three statements, a call to another service; a third of each."""
    import flask
    import requests

    app = flask.Flask(__name__)
    agent.dress("flask", app)
    database = "file:bench?mode=memory&cache=shared"
    keep = sqlite3.connect(database, uri=True)
    keep.execute("CREATE TABLE post (id INTEGER, title TEXT)")
    keep.executemany("INSERT INTO post VALUES (?, ?)", [(number, f"Post {number}") for number in range(10)])
    keep.commit()
    app.extensions["keep"] = keep
    session = requests.Session()
    session.trust_env = False

    @app.get("/posts/<int:number>")
    def posts(number: int) -> str:
        connection = sqlite3.connect(database, uri=True)
        connection.execute("SELECT COUNT(*) FROM post").fetchone()
        rows = connection.execute("SELECT id, title FROM post WHERE id >= ? ORDER BY id", (number,)).fetchall()
        connection.close()
        return flask.render_template_string("{% for row in rows %}<li>{{ row[1] }}{% endfor %}", rows=rows)

    @app.post("/create")
    def create() -> "tuple[str, int]":
        connection = sqlite3.connect(database, uri=True)
        connection.execute("SELECT COUNT(*) FROM post WHERE title = ?", ("new",)).fetchone()
        connection.execute("INSERT INTO post VALUES (?, ?)", (10, "new"))
        connection.execute("DELETE FROM post WHERE id = 10")
        connection.commit()
        connection.close()
        return "created", 201

    @app.get("/upstream")
    def upstream() -> str:
        return session.get(f"http://127.0.0.1:{port}/answer", timeout=5).text

    client = app.test_client()

    def work(times: int) -> None:
        for _ in range(times // 3):
            for response in (client.get("/posts/3"), client.post("/create"), client.get("/upstream")):
                assert response.status_code < 300, response.status
                response.close()

    return work


def django_requests() -> "Callable[[int], None]":
    """Django: called as a server calls it, through the middleware of a new project without sessions."""
    import django

    django.setup()
    _django_urls()
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    environ = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "QUERY_STRING": "page=2", "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8000", "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench/1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        statuses.append(status)

    def work(times: int) -> None:
        for number in range(times):
            request = {**environ, "PATH_INFO": f"/posts/{number % 10}", "wsgi.input": io.BytesIO()}
            body = application(request, start_response)
            assert b"".join(body) and statuses.pop() == "200 OK"
            body.close()

    return work


def _django_urls() -> None:
    """The module ``bench_urls``, with a model and its table."""
    import sys
    import types

    from django.db import connection, models
    from django.shortcuts import render
    from django.urls import path

    class Post(models.Model):
        title = models.CharField(max_length=100)

        class Meta:
            app_label = "bench"

    with connection.schema_editor() as editor:
        editor.create_model(Post)
    Post.objects.bulk_create([Post(title=f"Post {number}") for number in range(10)])

    def posts(request: Any, number: int) -> Any:
        found = Post.objects.filter(id__gte=number).order_by("id")
        return render(request, "posts.html", {"posts": found[:5], "count": found.count()})

    module: Any = types.ModuleType("bench_urls")
    module.urlpatterns = [path("posts/<int:number>", posts)]
    sys.modules["bench_urls"] = module


def fastapi_requests(agent: Bare) -> "Callable[[int], None]":
    """FastAPI: called as an ASGI server calls it."""
    import fastapi
    import pydantic

    class Post(pydantic.BaseModel):
        id: int
        title: str

    app = fastapi.FastAPI()
    agent.dress("fastapi", app)

    @app.get("/posts/{number}")
    async def read(number: int, page: int = 1) -> Post:
        return Post(id=number, title=f"Post {number} on {page}")

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "root_path": "", "query_string": b"page=2", "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000), "headers": [(b"host", b"127.0.0.1:8000"), (b"user-agent", b"bench/1")],
    }  # fmt: skip

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def serve(times: int) -> None:
        for number in range(times):
            sent: list[Any] = []

            async def send(message: Any, sent: "list[Any]" = sent) -> None:
                sent.append(message)

            text = f"/posts/{number % 100}"
            request = {**scope, "path": text, "raw_path": text.encode(), "headers": list(scope["headers"]), "state": {}}
            await app(request, receive, send)
            assert sent[0]["status"] == 200

    runner = asyncio.Runner()
    return lambda times: runner.run(serve(times))
