"""A Celery application for tests: its workers get broker and result backend from the environment."""

import os
import signal
import time

import celery
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

app = celery.Celery("shop", broker=os.environ["SHOP_BROKER"], backend=os.environ["SHOP_BACKEND"])
app.conf.update(
    # A queue for each test: what one leaves in it is not the next one's.
    task_default_queue=os.environ["SHOP_QUEUE"],
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    beat_schedule={"tick": {"task": "shop.add", "schedule": 0.5, "args": (20, 22)}},
    result_chord_retry_interval=0.1,
)


class Expected(Exception):
    pass


@app.task
def add(first, second):
    return first + second


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def fail():
    raise ValueError("out of stock")


@app.task(throws=(Expected,))
def fail_as_expected():
    raise Expected("known")


@app.task(bind=True, max_retries=2)
def insist(self, succeed_at=1):
    if self.request.retries < succeed_at:
        try:
            raise ConnectionError("supplier is away")
        except ConnectionError as error:
            raise self.retry(exc=error, countdown=0) from error
    return self.request.retries


@app.task(bind=True)
def reject(self):
    raise Reject("not mine", requeue=False)


@app.task
def ignore():
    raise Ignore()


@app.task
def nested():
    """Sends another task, and calls one as a function, which is none."""
    add(1, 1)
    add.delay(2, 2)


@app.task(soft_time_limit=1, time_limit=60)
def outlast_softly():
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        raise


@app.task(time_limit=1)
def outlast():
    time.sleep(20)


@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)


@app.task
def pid():
    return os.getpid()


@app.task(track_started=True)
def sleep(seconds):
    time.sleep(seconds)
