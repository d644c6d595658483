"""``make demo``: the real Flaskr and a notification service under the agent, the server, and visitors.

Runs until interrupted; ``--once`` runs a bounded load, prints what the server knows of it, and exits.
"""

import argparse
import contextlib
import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "python" / "tools"))
import matrix  # noqa: E402
from interpreters import newest  # noqa: E402

CACHE = matrix.CACHE
DEMO = CACHE / "demo"
#: The release whose tutorial is run; the version is pinned so that the demo is the same everywhere.
FLASK = "flask==3.1.3"
#: How long a process may take to be ready, in seconds.
START_TIMEOUT = 30.0


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


def step(text: str) -> None:
    """Says what is going on."""
    print(f"demo: {text}", flush=True)


def build_server() -> Path:
    """Builds the UI and the server when they are out of date; cargo and vite know."""
    target = Path(os.environ["CARGO_TARGET_DIR"])
    dist, stamp = ROOT / "ui" / "dist" / "index.html", CACHE / "ui-sources.stamp"
    sources = [*(ROOT / "ui" / "src").rglob("*"), *(ROOT / "ui").glob("*.*")]
    newest = str(max(path.stat().st_mtime for path in sources if path.is_file()))
    if not dist.exists() or not stamp.exists() or stamp.read_text() != newest:
        step("building the UI")
        run("npm", "--prefix", str(ROOT / "ui"), "run", "--silent", "build")
        stamp.write_text(newest)
    binary = target / "release" / "pitviper-server"
    if not binary.exists():
        step("building the server; the first time this takes a quarter of an hour")
    run(
        "cargo",
        "build",
        "--release",
        "--locked",
        "-p",
        "pitviper-server",
        *(() if not binary.exists() else ("--quiet",)),
    )
    return binary


def run(*command: str) -> None:
    """Runs a command in the repository; its failure ends the demo."""
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except subprocess.CalledProcessError as error:
        raise DemoError(f"{' '.join(command)} failed with exit status {error.returncode}") from error


def tutorial() -> Path:
    """Flaskr's folder, from Flask's source distribution."""
    folder = DEMO / FLASK.replace("==", "-")
    flaskr = folder / "examples" / "tutorial"
    if not flaskr.exists():
        step(f"fetching the source distribution of {FLASK}")
        DEMO.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        run(*pip, "--no-deps", "--no-binary", ":all:", "--dest", str(DEMO), FLASK)
        (archive,) = DEMO.glob("flask-*.tar.gz")
        with tarfile.open(archive) as source:
            if hasattr(tarfile, "data_filter"):
                source.extractall(DEMO, filter="data")
            else:
                source.extractall(DEMO)
    return flaskr


def environment() -> Path:
    """A virtual environment with the services and the agent; returns its ``bin``."""
    version, interpreter = newest()
    requirements = ROOT / "scripts" / "requirements-demo.txt"
    return with_flaskr(matrix.environment(version, interpreter, requirements)).parent


def with_flaskr(python: Path) -> Path:
    """The Python, once Flaskr is installed beside it."""
    marker = python.parent.parent / "flaskr"
    if not marker.exists():
        step("installing Flaskr")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run(*pip, str(tutorial()))
        marker.touch()
    return python


def free_port(wanted: int = 0) -> int:
    """The wanted port when it is free, else any."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found = probe.getsockname()[1]
            if wanted not in (0, found):
                step(f"port {wanted} is taken, so this run uses {found}")
            return found
    raise DemoError("no free port on 127.0.0.1")


@contextlib.contextmanager
def own_folder(keep_data: bool) -> "Iterator[Path]":
    """A folder for this run's data and logs that no other running demo uses."""
    for number in range(1, 100):
        folder = DEMO / (f"run-{number}" if number > 1 else "run")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (DEMO / f"{folder.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if not keep_data:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
            (folder / "ready.json").unlink(missing_ok=True)
            yield folder
            return
    raise DemoError("a hundred demos are running already")


class Processes:
    """The processes of the demo, stopped together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, cwd: Path = ROOT, **environ: str) -> None:
        """Starts a process whose output goes to a file."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                command, cwd=cwd, env={**os.environ, **environ}, stdout=log, stderr=log, start_new_session=True
            )

    def check(self) -> None:
        """Raises when one has ended, with its last words."""
        for name, process in self._running.items():
            if process.poll() is not None:
                lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-8:]
                raise DemoError(f"{name} ended with {process.returncode}:\n  " + "\n  ".join(lines))

    def stop(self) -> None:
        """Ends all, the server last, so that it gets the last spans."""
        for name in sorted(self._running, key=lambda name: name == "server"):
            process = self._running[name]
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()


def get(url: str, body: "Optional[dict[str, object]]" = None) -> Any:
    """Asks the server's API."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"} if data else {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as response:
        return json.loads(response.read())


def wait_until(what: str, ready: Any, processes: Processes) -> Any:
    """Waits for a process to be ready; returns what ``ready`` returns."""
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until:
        processes.check()
        with contextlib.suppress(OSError, urllib.error.URLError, json.JSONDecodeError):
            return ready()
        time.sleep(0.1)
    raise DemoError(f"{what} is not ready after {START_TIMEOUT:.0f} s; see {processes.folder}")


def start_server(binary: Path, processes: Processes, port: int) -> "dict[str, str]":
    """Starts the server on an empty store; returns its addresses."""
    ready = processes.folder / "ready.json"
    command = [str(binary), "serve", "--data-dir", str(processes.folder / "data"), "--ready-file", str(ready)]
    for flag, wanted in (("--http", port), ("--otlp-http", 4318), ("--otlp-grpc", 4317)):
        command += [flag, f"127.0.0.1:{free_port(wanted)}"]
    processes.start("server", *command)
    return wait_until("the server", lambda: json.loads(ready.read_text()), processes)


def start_services(bin_folder: Path, processes: Processes, otlp: str) -> str:
    """Starts both services under the agent; returns the blog's URL."""
    shared = {
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PITVIPER_ENDPOINT": f"http://{otlp}",
        "PITVIPER_ENV": "demo",
        # Nobody wants to wait a minute for the first look.
        "PITVIPER_PROFILING_UPLOAD_PERIOD": "10",
    }
    urls = {}
    for name, application, folder, extra in (
        ("notification", "notification_app:app", "notification", {}),
        ("flaskr", "blog_app:app", "flaskr", {"workers": "2"}),
    ):
        port = free_port()
        urls[name] = f"http://127.0.0.1:{port}"
        command = ["pitviper", "run", "gunicorn", "--workers", extra.get("workers", "1"), "--bind", f"127.0.0.1:{port}"]
        own = {
            "PITVIPER_SERVICE": name,
            "PITVIPER_VERSION": "1.0.0",
            "FLASKR_DATABASE": str(processes.folder / "flaskr.sqlite"),
            "NOTIFICATION_DATABASE": str(processes.folder / "notification.sqlite"),
            "NOTIFICATION_URL": urls["notification"],
        }
        command[0] = str(bin_folder / "pitviper")
        processes.start(name, *command, application, cwd=ROOT / "examples" / folder, **shared, **own)
        wait_until(name, functools.partial(connect, port), processes)
    return urls["flaskr"]


def connect(port: int) -> bool:
    """Connects and hangs up; raises when nobody listens."""
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


def load_command(bin_folder: Path, blog: str, visits: int, rate: float, seed: int) -> "list[str]":
    """The command line of the visitors."""
    load = str(ROOT / "examples" / "load.py")
    return [str(bin_folder / "python"), load, blog, "--visits", str(visits), "--rate", str(rate), "--seed", str(seed)]


def summary(base: str) -> bool:
    """Prints what the server knows; whether it is what a load leaves."""
    services = get(f"{base}/api/v1/services")["data"]
    traces = get(f"{base}/api/v1/spans/search", {"query": 'name:"POST /create"', "order": "-duration", "limit": 1})[
        "data"
    ]
    print(f"\n{'service':<16}{'requests':>9}{'failed':>8}{'p50':>10}{'p95':>10}")
    for service in services:
        p50, p95 = ((service[key]["v"] or 0) / 1e6 for key in ("p50", "p95"))
        print(f"{service['name']:<16}{service['hits']:>9}{service['errors']:>8}{p50:>7.1f} ms{p95:>7.1f} ms")
    for trace in traces:
        print(f"\nslowest POST /create: {trace['spans']} spans, {base}/traces/{trace['trace_id']}")
    return {service["name"] for service in services} >= {"flaskr", "notification"} and bool(traces)


def main() -> int:
    """Runs the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="run a bounded load, print a summary, exit")
    parser.add_argument("--port", type=int, default=4390, help="port of the server's UI (default 4390)")
    parser.add_argument("--visits", type=int, default=150, help="visits of the first load (default 150)")
    parser.add_argument("--rate", type=float, default=2.0, help="visits a second after it (default 2)")
    parser.add_argument("--duration", type=float, default=1800.0, help="seconds of visits after it (default 1800)")
    parser.add_argument("--keep-data", action="store_true", help="keep the store of the run before")
    arguments = parser.parse_args()

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        with own_folder(arguments.keep_data) as folder:
            return show(arguments, folder)
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def show(arguments: argparse.Namespace, folder: Path) -> int:
    """Starts everything, sends visitors, and ends everything."""
    processes = Processes(folder)
    try:
        binary = build_server()
        bin_folder = environment()
        step("starting the server, the blog and the notification service")
        addresses = start_server(binary, processes, arguments.port)
        base = f"http://{addresses['http']}"
        blog = start_services(bin_folder, processes, addresses["otlp_http"])
        step(f"the first {arguments.visits} visits")
        visits = subprocess.run(load_command(bin_folder, blog, arguments.visits, 0, 1), check=False)
        time.sleep(1.5)
        processes.check()
        well = summary(base) and visits.returncode == 0
        if arguments.once:
            return 0 if well else 1
        print(f"\nopen {base}\n\nthe blog is at {blog}; logs and data are in {folder}; stop with Ctrl-C", flush=True)
        visits_left = int(arguments.duration * arguments.rate)
        processes.start("visitors", *load_command(bin_folder, blog, visits_left, arguments.rate, 2))
        visitors_end = time.monotonic() + arguments.duration
        while True:
            time.sleep(1)
            if time.monotonic() < visitors_end:
                processes.check()
    except KeyboardInterrupt:
        step("stopping")
        # A second Ctrl-C would leave processes behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return 0
    finally:
        processes.stop()


if __name__ == "__main__":
    sys.exit(main())
