"""Whole traces of the real Flaskr, from the first byte to the last SQL statement."""

from typing import Any

from conftest import House, eventually

SHOWN = ("http.route", "http.request.method", "http.response.status_code", "db.query.text", "template.name")


def tree(spans: "list[dict[str, Any]]", parent: "str | None" = None) -> "list[Any]":
    """Spans as nested lists: [service, kind, name, {attributes}, child, ...]."""
    out = []
    for span in sorted(spans, key=lambda span: (span["start_us"], span["dur_ns"] * -1)):
        if span["parent_span_id"] == parent:
            chosen = {key: span["attributes"][key] for key in SHOWN if key in span["attributes"]}
            children = tree(spans, span["span_id"])
            out.append([span["service"], span["kind"], span["name"], chosen, *children])
    return out


def complete(house: House, query: str, spans: int) -> "list[dict[str, Any]]":
    """All spans of the newest trace that matches, once they are there."""

    def look() -> "list[dict[str, Any]] | None":
        found = house.server.spans(house.server.traces(query)[0]["trace_id"])
        return found if len(found) >= spans else None

    return eventually(look)


def test_the_create_request_is_one_tree(house: House) -> None:
    house.visitor().request("/create", {"title": "First", "body": "light"})
    spans = complete(house, 'name:"POST /create"', 11)
    assert tree(spans) == [
        [
            "flaskr", "server", "POST /create",
            {"http.route": "/create", "http.request.method": "POST", "http.response.status_code": 302},
            ["flaskr", "client", "SELECT user", {"db.query.text": "SELECT * FROM user WHERE id = ?"}],
            [
                "flaskr", "internal", "flaskr.blog.create", {},
                ["flaskr", "client", "INSERT post", {"db.query.text": "INSERT INTO post (title, body, author_id) VALUES (?)"}],
                ["flaskr", "client", "COMMIT", {"db.query.text": "COMMIT"}],
            ],
            [
                "flaskr", "client", "POST", {"http.request.method": "POST", "http.response.status_code": 201},
                [
                    "notification", "server", "POST /notify",
                    {"http.route": "/notify", "http.request.method": "POST", "http.response.status_code": 201},
                    [
                        "notification", "internal", "notification_app.notify", {},
                        [
                            "notification", "client", "CREATE notification",
                            {"db.query.text": "CREATE TABLE IF NOT EXISTS notification (id INTEGER PRIMARY KEY, title TEXT, author TEXT)"},
                        ],
                        ["notification", "client", "INSERT notification", {"db.query.text": "INSERT INTO notification (title, author) VALUES (?)"}],
                        ["notification", "client", "COMMIT", {"db.query.text": "COMMIT"}],
                    ],
                ],
            ],
        ]
    ]  # fmt: skip
    assert len({span["trace_id"] for span in spans}) == 1
    root = next(span for span in spans if span["parent_span_id"] is None)
    assert root["resource"]["service.version"] == "1.0.0"
    assert root["resource"]["deployment.environment.name"] == "demo"
    assert root["attributes"]["client.address"] == "127.0.0.1"
    assert root["scope"]["name"] == "pitviper.gunicorn"


def test_a_page_renders_its_template(house: House) -> None:
    house.visitor().request("/")
    spans = complete(house, 'name:"GET /" is:root', 5)
    ((_, _, name, _, *children),) = tree(spans)
    assert name == "GET /"
    view = next(child for child in children if child[2] == "flaskr.blog.index")
    assert [child[2] for child in view[4:] if child[2].startswith(("SELECT", "render"))] == [
        "SELECT post user",
        "render blog/index.html",
    ]


def test_a_failure_tells_why(house: House) -> None:
    house.visitor().request("/broken", expected=500)
    spans = complete(house, 'name:"GET /broken"', 3)
    root = next(span for span in spans if span["kind"] == "server")
    assert root["status"] == "error"
    assert root["attributes"]["http.response.status_code"] == 500
    assert root["attributes"]["error.type"] == "blog_app.ReportError"
    ((event,),) = [span["events"] for span in spans if span["events"]]
    assert event["name"] == "exception"
    assert event["attributes"]["exception.message"] == "nobody to share the work with"
    trace = event["attributes"]["exception.stacktrace"]
    assert "ZeroDivisionError" in trace and "direct cause" in trace and "blog_app.py" in trace
    assert [row["trace_id"] for row in house.server.traces("service:flaskr status:error")] == [root["trace_id"]]


def test_a_wrong_password_is_no_failure(house: House) -> None:
    house.visitor().request("/auth/login", {"username": "editor", "password": "wrong"})
    spans = complete(house, 'name:"POST /auth/login" http.response.status_code:200', 2)
    assert {span["status"] for span in spans} == {"unset"}
    statements = [span["attributes"].get("db.query.text", "") for span in spans]
    assert "SELECT * FROM user WHERE username = ?" in statements
    assert "wrong" not in str(spans)


def test_slow_and_streamed_pages_take_their_time(house: House) -> None:
    visitor = house.visitor()
    for number in range(20):
        visitor.request("/create", {"title": f"Post {number}", "body": "x"})
    visitor.request("/report")
    visitor.request("/export")
    report = next(span for span in complete(house, 'name:"GET /report"', 5) if span["kind"] == "server")
    assert report["dur_ns"] >= 150e6
    export = next(span for span in complete(house, 'name:"GET /export"', 2) if span["kind"] == "server")
    # A millisecond a line, all of it after the view has returned.
    assert export["dur_ns"] >= 20e6
    slow = house.server.traces("service:flaskr is:entry duration:>140ms")
    assert report["trace_id"] in {row["trace_id"] for row in slow}
