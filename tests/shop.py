"""A shop of three services that know nothing of tracing, under an agent: Django calls FastAPI under uvicorn, which
has a worker of Celery do the rest, with a real PostgreSQL and a real Redis (``tests/clients/datadog_shop``)."""

import contextlib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.postgresql import PostgreSQL
from services.process import accepts, free_port, running

from conftest import ROOT, Server

SERVICES = ("front", "stock", "mailer")
PROGRAMS = ROOT / "tests" / "clients" / "datadog_shop"

_TABLES = """
import psycopg, sys
with psycopg.connect(sys.argv[1]) as connection:
    connection.execute("DROP TABLE IF EXISTS prices, orders")
    connection.execute("CREATE TABLE prices (item int, price int, currency text)")
    connection.execute("INSERT INTO prices VALUES (7, 30, 'euro')")
    connection.execute("CREATE TABLE orders (id serial, item int, mailed bool)")
"""


class Shop:
    """Where it is, and the server that it reports to."""

    def __init__(self, server: Server, front: int, stock: int) -> None:
        self.server = server
        self.front = f"http://127.0.0.1:{front}"
        self.stock = f"http://127.0.0.1:{stock}"

    def visit(self, url: str) -> int:
        """Requests a page; the status of the answer."""
        try:
            answer = urllib.request.urlopen(url, timeout=30)
        except urllib.error.HTTPError as refused:
            answer = refused
        # Werkzeug does not close the response of a client that leaves without reading it.
        with answer:
            answer.read()
        return answer.status

    def visit_all(self) -> None:
        """Requests each of its pages once."""
        assert self.visit(f"{self.front}/checkout/7") == 200
        assert self.visit(f"{self.front}/broken") == 500
        assert self.visit(f"{self.stock}/missing") == 500
        assert self.visit(f"{self.stock}/count/beans") == 200


@contextlib.contextmanager
def opened(
    server: Server,
    python: Path,
    agent: "list[str | Path]",
    told: "dict[str, dict[str, str]]",
    postgresql: PostgreSQL,
    redis: str,
) -> "Iterator[Shop]":
    """A shop whose services all answer.

    Args:
        server: What it reports to.
        python: What has its packages.
        agent: What each program is started under.
        told: Variables of each service.
        postgresql: Where it keeps orders; its tables are made anew.
        redis: The URL of what carries its messages.
    """
    subprocess.run([python, "-c", _TABLES, postgresql.dsn], check=True, timeout=60)
    front, stock = free_port(), free_port()
    shared = {
        "PYTHONPATH": str(PROGRAMS),
        "SHOP_DATABASE": f"{postgresql.host}:{postgresql.port}",
        "SHOP_REDIS": redis,
        "SHOP_STOCK": f"http://127.0.0.1:{stock}",
    }
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    worker = ["worker", "--loglevel", "INFO", "--concurrency", "1", *quiet]
    commands = {
        "mailer": [python.parent / "celery", "-A", "mailer", *worker],
        "stock": [python.parent / "uvicorn", "--port", str(stock), "stock:app"],
        "front": [python, PROGRAMS / "front.py", str(front)],
    }
    log = {name: server.folder / f"{name}.log" for name in SERVICES}
    ready = {
        "mailer": lambda: " ready." in log["mailer"].read_text(),
        "stock": lambda: accepts(stock),
        "front": lambda: accepts(front),
    }
    contexts = [
        running([str(part) for part in (*agent, *commands[name])], ready[name], log[name], environ={**shared, **of})
        for name, of in told.items()
    ]
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(len(contexts)) as starters:
            list(starters.map(stack.enter_context, contexts))
        yield Shop(server, front, stock)
