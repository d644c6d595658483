"""A memcached server."""

import os
from collections.abc import Iterator

import pytest

from services.process import accepts, free_port, program, running


@pytest.fixture(scope="session")
def memcached_port(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[int]":
    """The port of an empty memcached."""
    port = free_port()
    command = [program("memcached"), "-l", "127.0.0.1", "-p", str(port), "-U", "0"]
    if os.getuid() == 0:
        command += ["-u", "nobody"]
    with running(command, lambda: accepts(port), tmp_path_factory.mktemp("memcached") / "log"):
        yield port
