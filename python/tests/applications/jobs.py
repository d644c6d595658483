"""Functions that RQ's workers perform for tests."""

import os
import signal
import time

import redis
import rq


def connection():
    return redis.Redis(port=int(os.environ["JOBS_REDIS"]))


def add(first, second):
    return first + second


def fail():
    raise ValueError("out of stock")


def fail_once(key):
    if connection().incr(key) == 1:
        raise ConnectionError("supplier is away")


def nested(queue):
    rq.Queue(queue, connection=connection()).enqueue(add, 2, 2)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(seconds):
    time.sleep(seconds)


def succeeded(job, connection, result):
    from pitviper import tracer

    with tracer.start_as_current_span("callback"):
        pass
