"""A PostgreSQL server."""

import contextlib
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
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PostgreSQL]":
    """An empty PostgreSQL that trusts everyone on this machine."""
    with served(tmp_path_factory.mktemp("log") / "postgresql") as server:
        yield server


@contextlib.contextmanager
def served(log: Path) -> "Iterator[PostgreSQL]":
    """An empty PostgreSQL, for as long as the block runs.

    Args:
        log: Where its output goes.
    """
    programs = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    # It refuses to run as root, and its own user must be able to reach its folder: pytest's is closed to others.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="pitviper-postgresql-"))
    try:
        if user:
            shutil.chown(folder, user, user)
        data = folder / "data"
        options = {"user": user, "group": user, "extra_groups": []} if user else {}
        initdb = [program("initdb", *programs), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--no-locale", "--no-sync"], check=True, capture_output=True, **options)
        port = free_port()
        postgres = [program("postgres", *programs), "-D", str(data), "-p", str(port)]
        command = [*postgres, "-h", "127.0.0.1", "-k", str(folder), "-F"]

        def ready() -> bool:
            probe = [program("pg_isready", *programs), "-q", "-h", "127.0.0.1", "-p", str(port)]
            return accepts(port) and subprocess.run(probe, check=False).returncode == 0

        with running(command, ready, log, user=user):
            yield PostgreSQL(port)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
