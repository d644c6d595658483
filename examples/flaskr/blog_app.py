"""The Flaskr blog of Flask's tutorial, as a team would have grown it.

Flaskr itself is used as it comes (``examples/tutorial`` of Flask's source distribution). Around it:
editors are told of each new post through the notification service, and there are pages that are slow,
that fail, and that stream. There is no tracing code here; that is the point.

Environment: ``FLASKR_DATABASE`` (path of the SQLite file), ``NOTIFICATION_URL`` (base URL of the
notification service).
"""

import fcntl
import os
import time
from collections.abc import Iterator

import requests
from flask import Flask, Response, g, request, stream_with_context
from flaskr import create_app
from flaskr.db import get_db, init_db

#: How long the report takes to "compute", in seconds.
REPORT_SECONDS = 0.15


class ReportError(Exception):
    """The report could not be made."""


def inform_editors(title: str) -> None:
    """Tells the editors of a new post; the post stays whether they hear of it or not."""
    url = os.environ.get("NOTIFICATION_URL")
    if url:
        message = {"title": title, "author": g.user["username"]}
        requests.post(f"{url}/notify", json=message, timeout=5).raise_for_status()


def add_pages(app: Flask) -> None:
    """Adds what Flaskr does not have."""

    @app.after_request
    def after_create(response: Response) -> Response:
        created = request.endpoint == "blog.create" and request.method == "POST" and response.status_code == 302
        # Visitors who are not logged in are redirected too: to the log-in page.
        if created and g.user is not None:
            inform_editors(request.form["title"])
        return response

    @app.get("/report")
    def report() -> dict[str, object]:
        """A slow page: several statements, and time in Python."""
        db = get_db()
        posts = db.execute("SELECT COUNT(*) FROM post").fetchone()[0]
        authors = db.execute("SELECT COUNT(DISTINCT author_id) FROM post").fetchone()[0]
        longest = db.execute("SELECT title FROM post ORDER BY LENGTH(body) DESC LIMIT 1").fetchone()
        time.sleep(REPORT_SECONDS)
        return {"posts": posts, "authors": authors, "longest": longest["title"] if longest else None}

    @app.get("/broken")
    def broken() -> dict[str, object]:
        """A failing page: an error with a cause."""
        try:
            shares = {"editors": 1 / len(request.args.get("editors", ""))}
        except ZeroDivisionError as error:
            raise ReportError("nobody to share the work with") from error
        return {"shares": shares}

    @app.get("/export")
    def export() -> Response:
        """A streaming page: one line a post."""

        def lines() -> Iterator[str]:
            for post in get_db().execute("SELECT id, title FROM post ORDER BY id"):
                time.sleep(0.001)
                yield f"{post['id']},{post['title']}\n"

        return Response(stream_with_context(lines()), mimetype="text/csv")


def make_app() -> Flask:
    """The application, with an empty database when there is none yet."""
    database = os.environ.get("FLASKR_DATABASE", "flaskr.sqlite")
    app = create_app({"SECRET_KEY": "demo", "DATABASE": database})
    add_pages(app)
    # Several workers start at once, and only one may make the tables.
    with open(f"{database}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(database):
            with app.app_context():
                init_db()
    return app


app = make_app()
