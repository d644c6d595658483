"""A stand-in for Kafka, of which neither Debian nor a package registry has a broker to install: the
mock cluster of librdkafka, which comes with confluent-kafka.

It speaks the protocol over TCP to whoever connects, keeps records in memory, coordinates groups, and
makes topics when they are first asked for. What it has not are disks, access control, and the newest
version of the request by which clients ask for versions: kafka-python has to be told one.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

#: The cluster lives as long as the client that it was made for; this one until its input ends.
_BROKER = """
import sys
from confluent_kafka import Producer
cluster = Producer({"test.mock.num.brokers": 1, "log_level": 0})
(broker,) = cluster.list_topics(timeout=30).brokers.values()
print(f"{broker.host}:{broker.port}", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="session")
def kafka_servers() -> "Iterator[str]":
    """The address of a Kafka-like broker, as ``host:port``."""
    with subprocess.Popen(
        [sys.executable, "-c", _BROKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as broker:
        assert broker.stdout is not None
        address = broker.stdout.readline().strip()
        assert address, "the mock cluster did not start; is confluent-kafka installed?"
        yield address
