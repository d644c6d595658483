"""What a shop does later, in Celery, without a word about tracing."""

import os

import celery
import psycopg

app = celery.Celery("mailer", broker=os.environ["SHOP_REDIS"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


def database() -> str:
    """Where orders are kept."""
    host, port = os.environ["SHOP_DATABASE"].split(":")
    return f"host={host} port={port} user=postgres dbname=postgres"


@app.task
def mail(order: int) -> None:
    """Marks an order as mailed."""
    with psycopg.connect(database()) as connection:
        connection.execute("UPDATE orders SET mailed = true WHERE id = %s", [order])


@app.task
def refuse() -> None:
    """Fails."""
    raise ValueError("no address")
