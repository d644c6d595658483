"""Servers with processes of their own: workers that are forked, recycled, reloaded and stopped lose no span.

The servers run side by side, each with a receiver of its own, and mostly wait.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import pytest
from services.process import free_port
from sink import Sink
from web_servers import get, process_serving, until_listening

#: Requests before the reload, and as many after it.
_REQUESTS = 8
_AT_ONCE = 3
#: Seconds in which something must have happened, on however busy a machine.
_PATIENCE = 90.0

_VARIABLES = {
    # So late that only what the end of a process does can send the last spans.
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "PITVIPER_EXIT_TIMEOUT": "60000",
}
#: Python 3.12 and newer warn who forks a process with several threads. Before the first span it has one thread,
#: unless it logs something later than while it starts.
_WARNED_OF_FORKS = {"PYTHONWARNINGS": "default:This process:DeprecationWarning", "PITVIPER_LOGS_ENABLED": "false"}

#: A view that says which process it ran in.
_APPLICATION = """
import os
import flask, pitviper

app = application = flask.Flask(__name__)

@app.route("/")
def home():
    with pitviper.tracer.start_as_current_span("work"):
        return str(os.getpid())
"""
#: Sent before the fork, so that the exporter's thread and its connection are there.
_IMPORT_WITH_A_SPAN = 'pitviper.tracer.start_span("import").end()\npitviper.flush(60)\n'
_ASYNC = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def page(request):
    return PlainTextResponse(home())

asgi = Starlette(routes=[Route("/", page)])
"""
#: A worker of gunicorn that is told to stop before it listens to signals never hears of it.
_GUNICORN = """
import os
def post_worker_init(worker):
    open(f"ready-{os.getpid()}", "w").close()
"""
_WORKERS = 2


@dataclass(frozen=True)
class Case:
    """A server and its options."""

    name: str
    #: A module and its arguments.
    command: "tuple[str, ...]"
    scope: str
    #: Whether the application is imported before the fork, and makes a span there.
    preload: bool = False
    #: Whether SIGHUP gives it new workers.
    reload: bool = True


_GUNICORNS = ("-w", str(_WORKERS), "-c", "settings.py", "--graceful-timeout", "60")


def _gunicorn(*options: str, app: str = "served:app", scope: str = "pitviper.gunicorn") -> Case:
    command = ("gunicorn", app, "-b", "127.0.0.1:{port}", *_GUNICORNS, *options)
    return Case(f"gunicorn {' '.join(options)}", command, scope, "--preload" in options)


CASES = (
    _gunicorn("-k", "sync", "--max-requests", "3"),
    _gunicorn("-k", "sync", "--preload"),
    _gunicorn("-k", "gthread", "--threads", "2", "--max-requests", "3", "--preload"),
    _gunicorn("-k", "gevent", "--max-requests", "3"),
    _gunicorn("-k", "gevent", "--preload"),
    _gunicorn("-k", "eventlet"),
    _gunicorn("-k", "uvicorn.workers.UvicornWorker", app="served:asgi", scope="pitviper.uvicorn"),
    Case(
        "uvicorn",
        # It kills workers that do not answer in five seconds.
        ("uvicorn", "served:asgi", "--port", "{port}", "--workers", "2", "--timeout-worker-healthcheck", "60"),
        "pitviper.uvicorn",
    ),
    Case(
        "hypercorn",
        ("hypercorn", "served:asgi", "-b", "127.0.0.1:{port}", "-w", "2"),
        "pitviper.hypercorn",
        reload=False,
    ),
)


def serve(case: Case, folder: Path) -> None:
    """Starts the server, asks it, reloads it, asks it again, stops it, and looks at what arrived."""
    (folder / "served.py").write_text(_APPLICATION + (_IMPORT_WITH_A_SPAN if case.preload else "") + _ASYNC)
    (folder / "settings.py").write_text(_GUNICORN)
    variables = _VARIABLES if case.preload else {**_VARIABLES, **_WARNED_OF_FORKS}
    sink = Sink()
    try:
        with process_serving(list(case.command), sink, folder, **variables) as (port, server):
            before = _ask(port)
            if case.command[0] == "gunicorn":
                _until_ready(server.pid, folder)
            if case.reload:
                # Those that were not asked end as well; uvicorn has a child that is no worker.
                old = set(before) | (set() if case.command[0] == "uvicorn" else _children(server.pid))
                server.send_signal(signal.SIGHUP)
                _until(lambda: not any(map(_lives, old)), f"some of {old} live on after a reload")
                # They sent what they had before they ended.
                _check(case, sink, before)
            after = _ask(port)
            assert not case.reload or not set(before) & set(after)
            if case.command[0] == "gunicorn":
                _until_ready(server.pid, folder)
        _check(case, sink, before + after)
        imported = {span.resource["process.pid"] for span in sink.spans if span.name == "import"}
        assert bool(imported) == case.preload and imported.isdisjoint(before + after)
    finally:
        sink.close()


def _until_ready(master: int, folder: Path) -> None:
    """Waits until all workers of a gunicorn listen to its signals."""

    def ready() -> bool:
        children = _children(master)
        return len(children) == _WORKERS and all((folder / f"ready-{child}").exists() for child in children)

    _until(ready, "workers do not come up")


def _children(process: int) -> "set[int]":
    """The children that its first thread made, which is that of a server."""
    return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def _ask(port: int) -> "list[int]":
    """Asks for the page, several times at once; the process of each answer."""
    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(lambda _: _answer(port), range(_REQUESTS)))


def _answer(port: int) -> int:
    """The process that answers. A server that recycles workers may close a connection it never read from."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            status, body = get(port, "/")
        except (OSError, IndexError):
            assert time.monotonic() < until, "no answer"
            time.sleep(0.05)
            continue
        assert status == 200, body
        return int(body)


def _lives(process: int) -> bool:
    """Whether a process has not ended; nobody may have asked yet how it did."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _until(true: "Callable[[], bool]", complaint: str) -> None:
    until = time.monotonic() + _PATIENCE
    while not true():
        assert time.monotonic() < until, complaint
        time.sleep(0.02)


def _check(case: Case, sink: Sink, answers: "list[int]") -> None:
    """One tree for each request, from the processes that answered; every process is an instance of its own."""
    spans, workers, count = list(sink.spans), set(answers), len(answers)
    served = [span for span in spans if span.kind == "server"]
    assert len(served) == count, f"of {count} requests {len(served)} arrived"
    assert {span.scope for span in served} == {case.scope}
    assert {span.resource["process.pid"] for span in served} == workers
    assert sum(span.name == "work" for span in spans) == count
    assert len({span.span_id for span in spans}) == len(spans)
    instances = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in spans}
    # A master that becomes a program again keeps its number.
    assert len({instance for _, instance in instances}) == len(instances)
    assert len({instance for pid, instance in instances if pid in workers}) == len(workers)
    names = {(pid, span.resource["pitviper.worker.name"]) for span in served for pid in [span.resource["process.pid"]]}
    assert len(names) == len(workers) and all(name.isdigit() for _, name in names), names
    assert {span.resource["pitviper.worker.kind"] for span in served} == {case.name.partition(" ")[0]}


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """What becomes of each server."""
    chosen = {item.name for item in request.session.items}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures: dict[str, Future[None]] = {
            case.name: pool.submit(serve, case, tmp_path_factory.mktemp("served"))
            for case in CASES
            if f"test_server[{case.name}]" in chosen
        }
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_server(case, runs):
    runs[case.name].result()


def test_gunicorn_as_a_daemon_that_starts_its_next_release(sink, tmp_path):
    case = Case("gunicorn", (), "pitviper.gunicorn")
    (tmp_path / "served.py").write_text(_APPLICATION)
    (tmp_path / "settings.py").write_text(_GUNICORN)
    port, pid_file = free_port(), tmp_path / "pid"
    gunicorn = [str(Path(sys.executable).parent / "gunicorn"), "served:app", "-b", f"127.0.0.1:{port}", *_GUNICORNS]
    gunicorn += ["--daemon", "--pid", str(pid_file), "--log-file", str(tmp_path / "log")]
    variables = {**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, **_VARIABLES, **_WARNED_OF_FORKS}
    masters: list[int] = []
    try:
        command = [sys.executable, "-m", "pitviper", "run", sys.executable, *gunicorn]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=True, timeout=_PATIENCE)
        assert (done.stdout, done.stderr) == (b"", b"")
        masters.append(_written(pid_file))
        until_listening(port)
        before = _ask(port)
        _until_ready(masters[0], tmp_path)
        # It forks, and the child becomes the same program again, with the sockets of the old one.
        os.kill(masters[0], signal.SIGUSR2)
        masters.append(_written(pid_file.with_name("pid.2")))
        _until_ready(masters[1], tmp_path)
        os.kill(masters[0], signal.SIGTERM)
        _until(lambda: not any(map(_lives, [masters[0], *before])), f"{before} live on after their master's end")
        after = _ask(port)
        os.kill(masters[1], signal.SIGTERM)
        _until(lambda: not any(map(_lives, [masters[1], *after])), f"{after} live on after their master's end")
    finally:
        for master in masters:
            if _lives(master):
                os.kill(master, signal.SIGKILL)
    assert "pitviper" not in (tmp_path / "log").read_text().replace(sys.prefix, "")
    _check(case, sink, before + after)


def _written(file: Path) -> int:
    """The process that a server says it is."""
    _until(lambda: file.exists() and file.read_text().strip().isdigit(), f"no {file.name}")
    return int(file.read_text())
