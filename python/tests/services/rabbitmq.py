"""A RabbitMQ server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.process import accepts, free_port, program, running

#: Where Debian has the script that its wrapper runs as a user of its own; this one starts as anybody.
_FOLDER = "/usr/lib/rabbitmq/bin"


@pytest.fixture(scope="session")
def rabbitmq_port(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[int]":
    """The port of an empty RabbitMQ; user and password are ``guest``."""
    folder: Path = tmp_path_factory.mktemp("rabbitmq")
    port, mapper = free_port(), free_port()
    script = os.path.join(_FOLDER, "rabbitmq-server")
    command = script if os.path.exists(script) else program("rabbitmq-server")
    environ = {
        # The cookie that Erlang makes lies there.
        "HOME": str(folder),
        # A name server of its own: the usual one would outlive the tests, and may serve others.
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        # One scheduler, which sleeps when it has nothing to do: the tests need the processor.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
    }
    (folder / "plugins").write_text("[].\n")
    try:
        with running([command], lambda: accepts(port), folder / "output", environ=environ):
            yield port
    finally:
        stop = shutil.which("epmd")
        if stop is not None:
            subprocess.run([stop, "-kill"], env={**os.environ, **environ}, capture_output=True, check=False)
