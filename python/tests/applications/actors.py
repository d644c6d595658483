"""Dramatiq's actors for tests."""

import os

import dramatiq
from dramatiq.errors import Retry

if os.environ["ACTORS_BROKER"].startswith("redis"):
    from dramatiq.brokers.redis import RedisBroker

    broker = RedisBroker(url=os.environ["ACTORS_BROKER"])
else:
    from dramatiq.brokers.rabbitmq import RabbitmqBroker

    broker = RabbitmqBroker(url=os.environ["ACTORS_BROKER"])
dramatiq.set_broker(broker)

QUEUE = os.environ["ACTORS_QUEUE"]


class Expected(Exception):
    pass


@dramatiq.actor(queue_name=QUEUE, max_retries=0)
def fail():
    raise ValueError("out of stock")


@dramatiq.actor(queue_name=QUEUE, max_retries=0, throws=Expected)
def fail_as_expected():
    raise Expected("known")


@dramatiq.actor(queue_name=QUEUE)
def add(first, second):
    return first + second


@dramatiq.actor(queue_name=QUEUE)
def nested():
    add.send(1, 2)


@dramatiq.actor(queue_name=QUEUE, max_retries=3)
def insist():
    from dramatiq.middleware import CurrentMessage

    message = CurrentMessage.get_current_message()
    if not message.options.get("retries"):
        raise Retry("again", delay=50)


broker.add_middleware(dramatiq.middleware.CurrentMessage())
