"""A MariaDB server."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from services.process import accepts, free_port, program, running


class MariaDB:
    """Where it listens, and what a client needs to know."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = "127.0.0.1"
        self.user = "tests"
        self.password = "secret"
        self.database = "shop"

    @property
    def arguments(self) -> "dict[str, Any]":
        """What drivers connect with."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.database,
        }


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[MariaDB]":
    """An empty MariaDB with a database and a user."""
    folder = tmp_path_factory.mktemp("mariadb")
    root = os.getuid() == 0
    user = ["--user=root"] if root else []
    data = folder / "data"
    install = [
        program("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
    ]
    subprocess.run([*install, "--skip-test-db", "--skip-name-resolve", *user], check=True, capture_output=True)
    port = free_port()
    # A socket's path has room for about a hundred characters.
    socket = folder / "socket"
    server = MariaDB(port)
    start = folder / "start.sql"
    start.write_text(
        # It reads one statement a line.
        f"CREATE DATABASE {server.database};\n"
        f"CREATE USER '{server.user}'@'%' IDENTIFIED BY '{server.password}';\n"
        f"GRANT ALL ON *.* TO '{server.user}'@'%';\n"
    )
    command = [program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--port={port}", f"--socket={socket}"]
    options = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--init-file={start}",
        "--innodb-flush-log-at-trx-commit=0",
    ]
    with running([*command, *options, *user], lambda: accepts(port), folder / "log"):
        yield server
    shutil.rmtree(data, ignore_errors=True)
