"""The whole house: the real server, the real Flaskr and a notification service under the agent.

Everything is started by ``make test-house``, which builds the server and the wheels before.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import demo  # noqa: E402

# The servers that the agent's tests talk to; at the end, for names there are not to hide those here.
sys.path.append(str(ROOT / "python" / "tests"))

#: Fixtures of their own files.
pytest_plugins = ["browser", "services.postgresql", "services.redis"]

BINARY = Path(os.environ["CARGO_TARGET_DIR"]) / "release" / "pitviper-server"


class Server:
    """A server on free ports, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = folder / "ready.json"
        self.ports = {"http": 0, "otlp-http": 0, "otlp-grpc": 0, "datadog": 0, "dogstatsd": 0}
        self.sockets = folder / "sockets"
        self.sockets.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; a second start uses the same ports and the same store."""
        self.ready.unlink(missing_ok=True)
        command = [str(BINARY), "serve", "--data-dir", str(self.folder / "data"), "--ready-file", str(self.ready)]
        for flag, port in self.ports.items():
            command += [f"--{flag}", f"127.0.0.1:{port}"]
        for flag in ("datadog", "dogstatsd"):
            command += [f"--{flag}-socket", str(self.sockets / flag)]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        addresses = eventually(lambda: json.loads(self.ready.read_text()))
        for flag in self.ports:
            self.ports[flag] = int(addresses[flag.replace("-", "_")].rpartition(":")[2])

    @property
    def url(self) -> str:
        """Where the UI and the API are."""
        return f"http://127.0.0.1:{self.ports['http']}"

    @property
    def otlp(self) -> str:
        """Where spans are sent."""
        return f"http://127.0.0.1:{self.ports['otlp-http']}"

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Ends it; returns its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(30)

    def get(self, path: str, body: "dict[str, Any] | None" = None) -> Any:
        """Asks the API; the data of the answer."""
        return demo.get(f"{self.url}/api/v1/{path}", body)["data"]

    def put(self, path: str, body: Any) -> Any:
        """Tells the API something; its answer."""
        import urllib.request

        url, data = f"{self.url}/api/v1/{path}", json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method="PUT")
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def spans(self, trace_id: str) -> "list[dict[str, Any]]":
        """All spans of a trace."""
        return self.get(f"traces/{trace_id}/spans")

    def traces(self, query: str) -> "list[dict[str, Any]]":
        """Traces that match, newest first."""
        return self.get("spans/search", {"query": query, "limit": 1000})

    def metric(self, name: str) -> "dict[str, float]":
        """The samples of a metric, by their labels."""
        import urllib.request

        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if line.startswith((f"{name}{{", f"{name} ")))
        return {labels: float(value) for labels, _, value in samples}


def eventually(probe: "Callable[[], Any]", timeout: float = 20.0) -> Any:
    """What ``probe`` returns once it neither raises nor returns something false."""
    until = time.monotonic() + timeout
    while True:
        try:
            found = probe()
            if found or time.monotonic() > until:
                assert found, "what was waited for did not come"
                return found
        except (OSError, AssertionError, KeyError, IndexError, json.JSONDecodeError):
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def nested(spans: "list[dict[str, Any]]", parent: "str | None" = None) -> "list[Any]":
    """The spans as ``[service kind name, child, ...]``, children by start."""
    found: list[Any] = []
    for span in sorted(spans, key=lambda span: (span["start_us"], -span["dur_ns"])):
        if span["parent_span_id"] == parent:
            failed = " failed" if span["status"] == "error" else ""
            own = f"{span['service']} {span['kind']} {span['name']}{failed}"
            found.append([own, *nested(spans, span["span_id"])])
    return found


def client_environment(name: str) -> Path:
    """A Python with what ``tests/clients/NAME.txt`` asks for, and nothing of ours."""
    sys.path.insert(0, str(ROOT / "python" / "tools"))
    import matrix
    from interpreters import newest

    version, interpreter = newest()
    folder = matrix.CACHE / "environments" / f"clients-{name}-{version}"
    requirements = ROOT / "tests" / "clients" / f"{name}.txt"
    stamp, executable = folder / "installed", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        subprocess.run([interpreter, "-m", "venv", "--clear", folder], check=True)
        pip = [executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return executable


def agent_environment(requirements: Path) -> Path:
    """A Python with what is asked for, and our agent."""
    sys.path.insert(0, str(ROOT / "python" / "tools"))
    import matrix
    from interpreters import newest

    return matrix.environment(*newest(), requirements)


def node_client(name: str) -> "tuple[list[str | Path], dict[str, str]]":
    """A command that runs ``tests/clients/NAME/client.js`` with the packages it asks for, and its variables."""
    source = ROOT / "tests" / "clients" / name
    folder = demo.CACHE / "environments" / f"clients-{name}"
    lock = (source / "package-lock.json").read_text()
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock:
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, folder)
        npm = ["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(npm, check=True)
        stamp.write_text(lock)
    return ["node", source / "client.js"], {"NODE_PATH": str(folder / "node_modules")}


@pytest.fixture
def server(tmp_path: Path) -> "Iterator[Server]":
    """A server on an empty store."""
    started = Server(tmp_path)
    started.start()
    yield started
    started.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def services() -> Path:
    """The ``bin`` of an environment with the agent, Flaskr and what both services need."""
    return demo.environment()


class House:
    """Server and services."""

    def __init__(self, server: Server, folder: Path, services: Path) -> None:
        self.server = server
        self.services = services
        self.processes = demo.Processes(folder)
        self.blog = ""

    def start(self) -> None:
        """Starts the services."""
        self.blog = demo.start_services(self.services, self.processes, self.server.otlp.removeprefix("http://"))

    def load(self, visits: int, seed: int = 1) -> None:
        """Runs visitors to their end."""
        command = demo.load_command(self.services, self.blog, visits, 0, seed)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)

    def visitor(self) -> Any:
        """A browser that is logged in."""
        import random

        sys.path.insert(0, str(ROOT / "examples"))
        import load

        visitor = load.Visitor(self.blog, random.Random(7))
        visitor.log_in("editor")
        return visitor


@pytest.fixture
def house(server: Server, tmp_path: Path, services: Path) -> "Iterator[House]":
    """The house with its lights on."""
    built = House(server, tmp_path, services)
    try:
        built.start()
        yield built
    finally:
        built.processes.stop()
        with contextlib.suppress(OSError):
            shutil.rmtree(tmp_path / "data", ignore_errors=True)
