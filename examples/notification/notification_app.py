"""A small service that keeps notifications for the editors.

Environment: ``NOTIFICATION_DATABASE`` (path of the SQLite file).
"""

import os
import sqlite3

from flask import Flask, request

app = Flask(__name__)


def database() -> sqlite3.Connection:
    """The database, with its one table."""
    connection = sqlite3.connect(os.environ.get("NOTIFICATION_DATABASE", "notification.sqlite"), timeout=10)
    connection.execute("CREATE TABLE IF NOT EXISTS notification (id INTEGER PRIMARY KEY, title TEXT, author TEXT)")
    return connection


@app.post("/notify")
def notify() -> "tuple[dict[str, object], int]":
    """Keeps one notification."""
    message = request.get_json()
    connection = database()
    try:
        with connection:
            cursor = connection.execute(
                "INSERT INTO notification (title, author) VALUES (?, ?)", (message["title"], message["author"])
            )
        return {"id": cursor.lastrowid}, 201
    finally:
        connection.close()


@app.get("/healthz")
def healthz() -> str:
    """Says that the service is up."""
    return "ok"
