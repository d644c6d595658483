"""A Redis server."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.process import accepts, free_port, program, running


@pytest.fixture(scope="session")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[int]":
    """The port of an empty Redis."""
    folder: Path = tmp_path_factory.mktemp("redis")
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with running(command, lambda: accepts(port), folder / "log"):
        yield port


@pytest.fixture(scope="session")
def redis_cluster_port(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[int]":
    """The port of an empty Redis cluster; its one node has all slots."""
    folder: Path = tmp_path_factory.mktemp("redis-cluster")
    port = free_port()
    # Its nodes talk to each other on another port, which is this one and 10,000 unless it is said.
    own = [program("redis-server"), "--port", str(port), "--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    command = [*own, "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]

    def said(*arguments: str) -> str:
        line = [program("redis-cli"), "-p", str(port), "cluster", *arguments]
        return subprocess.run(line, check=False, capture_output=True, text=True).stdout

    def ready() -> bool:
        return accepts(port) and ("cluster_state:ok" in said("info") or not said("addslotsrange", "0", "16383"))

    with running(command, ready, folder / "log"):
        yield port
