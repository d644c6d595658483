"""A PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.process import accepts, free_port, program, running


class PostgreSQL:
    """Where it listens, and what a client needs to know."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = "127.0.0.1"
        self.user = "postgres"
        self.database = "postgres"
        self.dsn = f"host={self.host} port={port} user={self.user} dbname={self.database}"
        self.url = f"postgresql://{self.user}@{self.host}:{port}/{self.database}"


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PostgreSQL]":
    """An empty PostgreSQL that trusts everyone on this machine."""
    programs = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    # It refuses to run as root, and its own user must be able to reach its folder: pytest's is closed to others.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pitviper-postgresql-"))
    request.addfinalizer(lambda: shutil.rmtree(folder, ignore_errors=True))
    if user:
        shutil.chown(folder, user, user)
    data = folder / "data"
    options = {"user": user, "group": user, "extra_groups": []} if user else {}
    initdb = [program("initdb", *programs), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    subprocess.run([*initdb, "--no-locale", "--no-sync"], check=True, capture_output=True, **options)
    port = free_port()
    command = [
        program("postgres", *programs),
        "-D",
        str(data),
        "-p",
        str(port),
        "-h",
        "127.0.0.1",
        "-k",
        str(folder),
        "-F",
    ]

    def ready() -> bool:
        probe = [program("pg_isready", *programs), "-q", "-h", "127.0.0.1", "-p", str(port)]
        return accepts(port) and subprocess.run(probe, check=False).returncode == 0

    with running(command, ready, tmp_path_factory.mktemp("log") / "postgresql", user=user):
        yield PostgreSQL(port)
