"""What is measured: each row's operation, done a number of times."""

import asyncio
import logging
import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable

from agents import NESTED, Bare
from applications import django_requests, fastapi_requests, flask_requests

#: Operations to a request or job: what each of them costs is little beside that.
TOGETHER = 20

#: Does the operation this many times; a multiple of what is done together.
Work = Callable[[int], None]


def spans(agent: Bare, port: str, postgresql: str) -> Work:
    """A span: started as the current one, three attributes, ended; ten nested."""

    def work(times: int) -> None:
        for _ in range(times // NESTED):
            agent.nest(NESTED)

    return work


def sqlite(agent: Bare, port: str, postgresql: str) -> Work:
    """A statement that SQLite answers from memory, with its row."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE post (id INTEGER PRIMARY KEY, title TEXT)")
    connection.executemany("INSERT INTO post VALUES (?, ?)", [(number, f"Post {number}") for number in range(100)])

    def work(times: int) -> None:
        for _ in range(times // TOGETHER):
            with agent.transaction("job"):
                for number in range(TOGETHER):
                    cursor = connection.cursor()
                    cursor.execute("SELECT id, title FROM post WHERE id = ?", (number,))
                    cursor.fetchone()

    return work


def psycopg(agent: Bare, port: str, postgresql: str) -> Work:
    """A statement that a real PostgreSQL answers, with its row."""
    import psycopg

    connection = psycopg.connect(postgresql, autocommit=True)

    def work(times: int) -> None:
        for _ in range(times // TOGETHER):
            with agent.transaction("job"):
                for number in range(TOGETHER):
                    cursor = connection.cursor()
                    cursor.execute("SELECT oid, relname FROM pg_class WHERE oid = %s", (number,))
                    cursor.fetchone()

    return work


def calls(agent: Bare, port: str, postgresql: str) -> Work:
    """A call with requests, over a connection that is kept."""
    import requests

    session = requests.Session()
    session.trust_env = False

    def work(times: int) -> None:
        for _ in range(times // TOGETHER):
            with agent.transaction("job"):
                for number in range(TOGETHER):
                    assert session.get(f"http://127.0.0.1:{port}/answer/{number}", timeout=5).text

    return work


def tasks(agent: Bare, port: str, postgresql: str) -> Work:
    """A task of asyncio that waits once."""

    async def step() -> None:
        await asyncio.sleep(0)

    async def together() -> None:
        with agent.transaction("job"):
            await asyncio.gather(*[asyncio.create_task(step()) for _ in range(TOGETHER)])

    async def all_of_them(times: int) -> None:
        for _ in range(times // TOGETHER):
            await together()

    runner = asyncio.Runner()
    return lambda times: runner.run(all_of_them(times))


def jobs(agent: Bare, port: str, postgresql: str) -> Work:
    """A job given to a pool of one thread, and its result."""
    pool = ThreadPoolExecutor(1)

    def work(times: int) -> None:
        for _ in range(times // TOGETHER):
            with agent.transaction("job"):
                for future in [pool.submit(abs, number) for number in range(TOGETHER)]:
                    future.result()

    return work


def records(agent: Bare, port: str, postgresql: str) -> Work:
    """A log record with an argument, formatted and written to /dev/null."""
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115 - lives as long as the process
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("bench")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    def work(times: int) -> None:
        for _ in range(times // TOGETHER):
            with agent.transaction("job"):
                for number in range(TOGETHER):
                    logger.info("post %d was read", number)

    return work


def flask(agent: Bare, port: str, postgresql: str) -> Work:
    """A request to Flask: the mean of three."""
    return flask_requests(agent, port)


def django(agent: Bare, port: str, postgresql: str) -> Work:
    """A request to Django: a view with two queries of the ORM and a template."""
    return django_requests()


def fastapi(agent: Bare, port: str, postgresql: str) -> Work:
    """A request to FastAPI: a validated path and query, an asynchronous endpoint, JSON."""
    return fastapi_requests(agent)


class Row:
    """What is measured, and how often it is done.

    Args:
        begin: Prepares it.
        times: How often it is done; the agents that take long do it less often.
        times_of_slow: How often those do it.
    """

    def __init__(self, begin: "Callable[[Bare, str, str], Work]", times: int, times_of_slow: int) -> None:
        self.begin = begin
        self.times = times
        self.times_of_slow = times_of_slow

    def times_of(self, agent: str) -> int:
        """How often an agent does it."""
        return self.times if agent == "none" or agent.startswith("Pitviper") else self.times_of_slow


ROWS: "dict[str, Row]" = {
    "span": Row(spans, 100_000, 20_000),
    "Flask request": Row(flask, 1_500, 600),
    "Django request": Row(django, 2_000, 800),
    "FastAPI request": Row(fastapi, 8_000, 2_000),
    "sqlite3 statement": Row(sqlite, 100_000, 20_000),
    "psycopg statement": Row(psycopg, 8_000, 4_000),
    "requests call": Row(calls, 2_000, 1_000),
    "asyncio task": Row(tasks, 100_000, 20_000),
    "job in a thread": Row(jobs, 40_000, 10_000),
    "log record": Row(records, 40_000, 10_000),
}

#: What is done before anything counts, as a share: connections are made, caches filled, threads started.
WARM_UP = 20


def idle(agent: Bare, warm_up: float, seconds: float) -> float:
    """The CPU time of a process that has traced one thing and then does nothing, in seconds."""
    with agent.transaction("job"):
        pass
    agent.flush()
    # What is reported once is out of the way.
    time.sleep(warm_up)
    began = time.process_time()
    time.sleep(seconds)
    return time.process_time() - began


def soak(agent: Bare, port: str, seconds: float, rate: float) -> "list[float]":
    """Memory in MB, at five times evenly apart, while Flask serves so many requests a second."""
    work = flask_requests(agent, port)
    began = time.monotonic()
    served, figures = 0, []
    for part in range(1, _PARTS + 1):
        until = began + seconds * part / _PARTS
        while time.monotonic() < until:
            work(3)
            served += 3
            time.sleep(max(0.0, began + served / rate - time.monotonic()))
        figures.append(memory("VmRSS"))
    return figures


_PARTS = 5


def memory(name: str) -> float:
    """A figure of the process's memory, in MB. The peak that getrusage tells includes that of the launcher."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))
