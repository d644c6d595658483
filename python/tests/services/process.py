"""Runs a server for as long as the tests need it."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

#: How long a server may take to answer, in seconds. RabbitMQ takes ten on two cores.
_START = 60.0
_STOP = 10.0
#: Ports below those that the system gives to outgoing connections: none of them takes one away before the
#: server it is meant for listens on it.
_PORTS = range(20_000, 32_000)

#: Held as long as this process lives.
_reservations: "list[socket.socket]" = []


def free_port() -> int:
    """A port of the loopback address that nobody listens on, and that no other run of the tests is given.

    Raises:
        RuntimeError: There is none left.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            # A name without a file: it is gone with this process, however that ends.
            reservation.bind(f"\0pitviper-tests-port-{port}")
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return port
    raise RuntimeError(f"no free port in {_PORTS}")


def program(name: str, *folders: str) -> str:
    """Where a server's program is.

    Raises:
        RuntimeError: It is not installed. A test that cannot run has failed.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))
    if found is None:
        raise RuntimeError(f"{name} is not installed; run make setup")
    return found


def accepts(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def running(
    command: Sequence[str],
    ready: Callable[[], bool],
    log: Path,
    user: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> "Iterator[subprocess.Popen[bytes]]":
    """Runs a server in a process group of its own, from when it is ready to the end of the block.

    Args:
        command: The server, in the foreground.
        ready: Whether it answers.
        log: Where its output goes.
        user: Who runs it, when this process is root's and the server refuses that.
        environ: Variables it gets beside this process's own.

    Raises:
        RuntimeError: It ended, or did not answer in time; the message has the end of its log.
    """
    options: dict[str, Any] = {}
    if user is not None and os.getuid() == 0:
        options["user"] = options["group"] = user
        options["extra_groups"] = []
    with log.open("wb") as output:
        server = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
            **options,
        )
    try:
        until = time.monotonic() + _START
        while not ready():
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} is not ready:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
