"""A shop's stock in FastAPI, for uvicorn, without a word about tracing."""

import asyncio
import os
import time

import fastapi
import mailer
import psycopg
import redis

app = fastapi.FastAPI()
cache = redis.Redis.from_url(os.environ["SHOP_REDIS"])

BUSY_S = 0.5
"""For how long counting takes; the profiler looks 10 to 100 times a second."""


@app.post("/orders/{item}")
def order(item: int) -> "dict[str, int]":
    """Keeps an order, counts it, and has it mailed."""
    with psycopg.connect(mailer.database()) as connection:
        kept = connection.execute("INSERT INTO orders (item) VALUES (%s) RETURNING id", [item]).fetchone()
    assert kept is not None
    cache.set(f"order:{kept[0]}", "4111")
    with cache.pipeline() as pipeline:
        pipeline.incr("orders").expire("orders", 60).execute()
    mailer.mail.delay(kept[0])
    mailer.refuse.delay()
    return {"order": kept[0]}


@app.get("/missing")
async def missing() -> None:
    """Asks for what is not there, and fails."""
    async with await psycopg.AsyncConnection.connect(mailer.database()) as connection:
        await asyncio.sleep(0)
        await connection.execute("SELECT name FROM nowhere")


def count_up() -> int:
    """Counts for a while of this thread's time on a processor."""
    until, number = time.thread_time() + BUSY_S, 0
    while time.thread_time() < until:
        number += sum(range(100))
    return number


@app.get("/count/{what}")
def count(what: str) -> "dict[str, int]":
    """Counts."""
    return {what: count_up()}
