"""Moto, a stand-in for AWS: it speaks the protocols of AWS's services, and keeps what it is given in memory."""

import sys
from collections.abc import Iterator

import pytest

from services.process import accepts, free_port, running


@pytest.fixture(scope="session")
def aws_url(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[str]":
    """The address of an AWS without anything in it."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    # Not under the agent that tests run with.
    environ = {"PITVIPER_ENABLED": "false"}
    with running(command, lambda: accepts(port), tmp_path_factory.mktemp("aws") / "log", environ=environ):
        yield f"http://127.0.0.1:{port}"
