"""A Redis server."""

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
