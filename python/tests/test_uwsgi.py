"""uWSGI: it forks in C, ends busy workers without the interpreter's end, and loses no finished span all the same.

The servers run side by side, each with a receiver of its own, and mostly wait.
"""

import json
import os
import signal
import socket
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
from web_servers import get, until_listening

_UWSGI = Path(sys.executable).parent / "uwsgi"
#: Requests before the workers are replaced, and as many after it.
_REQUESTS = 8
_AT_ONCE = 3
#: Seconds in which something must have happened, on however busy a machine.
_PATIENCE = 90.0

_VARIABLES = {
    # So late that only what the end of a process does can send the last spans.
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "PITVIPER_EXIT_TIMEOUT": "60000",
}
_APPLICATION = """
import os, time
import flask, pitviper

app = application = flask.Flask(__name__)

@app.route("/")
def home():
    with pitviper.tracer.start_as_current_span("work"):
        return str(os.getpid())

@app.route("/hangs")
def hangs():
    with pitviper.tracer.start_as_current_span("begun"):
        pass
    open(f"hangs-{os.getpid()}", "w").close()
    time.sleep(1000)
"""
#: The exporter's thread, its connection and the companion are there when it forks.
_IMPORT_WITH_A_SPAN = '\npitviper.tracer.start_span("import").end()\npitviper.flush(60)\n'
#: The companion may have begun to wait for the interpreter's lock.
_IMPORT_WITH_A_LATE_SPAN = '\npitviper.tracer.start_span("import").end()\n'


@dataclass(frozen=True)
class Case:
    """How uWSGI is run, gets new workers and is stopped."""

    name: str
    options: "tuple[str, ...]" = ()
    #: What the application's module ends with.
    last: str = ""
    #: ``reload`` for SIGHUP, ``touch`` for a touched file, ``recycle`` for workers that end after some requests.
    replaced: str = "reload"
    #: What its master is told at the end, while one worker is in a request.
    stop: signal.Signals = signal.SIGINT

    def imports(self) -> bool:
        """Whether the master makes a span, before it forks."""
        return bool(self.last) and "--lazy-apps" not in self.options


CASES = (
    Case("prefork"),
    Case("prefork, enable-threads, exporter before the fork", ("--enable-threads",), _IMPORT_WITH_A_SPAN),
    Case("prefork, span right before the fork", (), _IMPORT_WITH_A_LATE_SPAN),
    Case("prefork with fork hooks", ("--py-call-uwsgi-fork-hooks",), _IMPORT_WITH_A_SPAN, "touch"),
    Case("lazy-apps", ("--lazy-apps",), "", "touch", signal.SIGQUIT),
    Case("lazy-apps, enable-threads", ("--lazy-apps", "--enable-threads"), _IMPORT_WITH_A_SPAN),
    Case("threads", ("--threads", "2"), _IMPORT_WITH_A_SPAN),
    Case("max-requests", ("--max-requests", "3", "--min-worker-lifetime", "0"), "", "recycle"),
    Case(
        "max-requests, lazy-apps", ("--max-requests", "3", "--min-worker-lifetime", "0", "--lazy-apps"), "", "recycle"
    ),
    Case("die-on-term", ("--die-on-term", "--single-interpreter"), "", "reload", signal.SIGTERM),
)


class Served:
    """A uWSGI under ``pitviper run`` with two workers."""

    def __init__(self, folder: Path, sink: Sink, *options: str, last: str = "") -> None:
        (folder / "shop.py").write_text(_APPLICATION + last)
        (folder / "touched").touch()
        self._folder, self._log, self.port, self._stats = folder, folder / "log", free_port(), free_port()
        command = [sys.executable, "-m", "pitviper", "run", str(_UWSGI), "--master", "--processes", "2"]
        command += ["--http-socket", f"127.0.0.1:{self.port}", "--wsgi-file", "shop.py", "--need-app"]
        command += ["--virtualenv", sys.prefix, "--logto", str(self._log), "--touch-reload", "touched"]
        command += ["--stats", f"127.0.0.1:{self._stats}", *options]
        variables = {**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, **_VARIABLES}
        self.process = subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL)
        self.until_ready()

    def until_ready(self) -> None:
        """Waits until there are two workers that take requests. One that is told to stop before does not hear of it:
        until then the handler of the signal is Python's."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log()
            try:
                with socket.create_connection(("127.0.0.1", self._stats)) as connection, connection.makefile() as file:
                    workers = json.load(file)["workers"]
            except (ConnectionError, ValueError):
                return False
            return {worker["pid"] for worker in workers if worker["accepting"]} == self.workers()

        until_listening(self.port, lambda: self.process.poll() is None)
        _until(ready, "workers do not come up")

    def ask(self) -> "list[int]":
        """Asks for the page, several times at once; the process of each answer. All are over when it returns."""
        over = self._over()
        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(lambda _: self._answer(), range(_REQUESTS)))
        _until(lambda: self._over() >= over + _REQUESTS, "requests do not end")
        return answers

    def _answer(self) -> int:
        status, body = get(self.port, "/", f"X-Request-Start: t={time.time() - 0.05:.3f}")
        assert status == 200, body
        return int(body)

    def _over(self) -> int:
        """Requests that are over: uWSGI logs them after it has closed their bodies."""
        return self.log().count("=> generated")

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text()

    def replace(self, how: str) -> None:
        """Has all workers replaced."""
        self.until_ready()
        old = self.workers()
        if how == "reload":
            self.process.send_signal(signal.SIGHUP)
        else:
            # uWSGI compares whole seconds, and the file may have been made in this one.
            later = time.time() + 10
            os.utime(self._folder / "touched", (later, later))
        _until(lambda: not any(map(_lives, old)), f"some of {old} live on after a reload")
        self.until_ready()

    def workers(self) -> "set[int]":
        """Its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return set(map(int, children.read_text().split()))

    def hang(self) -> int:
        """A request that does not end; the process it is in."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(b"GET /hangs HTTP/1.1\r\nHost: example.com\r\n\r\n")
        self._hanging = connection
        marks: list[Path] = []

        def begun() -> bool:
            marks[:] = self._folder.glob("hangs-*")
            return bool(marks)

        _until(begun, "the request does not begin")
        return int(marks[0].name.rpartition("-")[2])

    def stop(self, number: signal.Signals) -> None:
        """Ends it; nobody may live on."""
        workers = self.workers()
        self.process.send_signal(number)
        assert self.process.wait(_PATIENCE) == 0, self.log()
        assert not any(map(_lives, workers)), self.log()
        said = self.log()
        # What the agent says begins with its name; paths may have that in them, too.
        assert not any(word in said for word in ("pitviper: ", "Traceback", "DAMN", "NO MERCY")), said

    def kill(self) -> None:
        """Ends what a failed test leaves."""
        if self.process.poll() is None:
            for process in (self.process.pid, *self.workers()):
                os.kill(process, signal.SIGKILL)
            self.process.wait()


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


def serve(case: Case, folder: Path) -> None:
    """Asks, replaces the workers, asks again, stops it in the middle of a request, and looks at what arrived."""
    sink = Sink()
    served = Served(folder, sink, *case.options, last=case.last)
    try:
        before = served.ask()
        if case.replaced != "recycle":
            served.replace(case.replaced)
            # They sent what they had before they ended.
            _check(case, sink, before)
        after = served.ask()
        assert set(before) != set(after)
        hanging = served.hang()
        served.until_ready()
        served.stop(case.stop)
        _check(case, sink, before + after)
        (begun,) = (span for span in sink.spans if span.name == "begun")
        assert begun.resource["process.pid"] == hanging
        imported = {span.resource["process.pid"] for span in sink.spans if span.name == "import"}
        assert (imported == {served.process.pid}) == case.imports()
    finally:
        served.kill()
        sink.close()


def _check(case: Case, sink: Sink, answers: "list[int]") -> None:
    """One tree for each request, from the processes that answered; every process is an instance of its own."""
    spans, workers, count = list(sink.spans), set(answers), len(answers)
    served = [span for span in spans if span.kind == "server"]
    assert len(served) == count, f"of {count} requests {len(served)} arrived"
    assert sorted(span.resource["process.pid"] for span in served) == sorted(answers)
    for span in served:
        assert (span.scope, span.name) == ("pitviper.flask", "GET /")
        assert span.resource["service.name"] == "shop"
        assert span.resource["process.command"].endswith("/uwsgi")
        assert span.attributes["http.response.status_code"] == 200
        assert span.attributes["client.address"] == "127.0.0.1"
        assert span.attributes["http.server.queue_time_ms"] >= 49
        children = [other for other in spans if other.trace_id == span.trace_id and other.name == "work"]
        assert len(children) == 1
    assert len({span.span_id for span in spans}) == len(spans)
    instances = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in spans}
    # A master that becomes a program again keeps its number.
    assert len({instance for _, instance in instances}) == len(instances)
    assert len({instance for pid, instance in instances if pid in workers}) == len(workers)
    named = {(span.resource.get("pitviper.worker.kind"), span.resource.get("pitviper.worker.name")) for span in served}
    assert named <= {("uwsgi", "1"), ("uwsgi", "2")}


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    """What becomes of each server."""
    chosen = {item.name for item in request.session.items}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures: dict[str, Future[None]] = {
            case.name: pool.submit(serve, case, tmp_path_factory.mktemp("served"))
            for case in CASES
            if f"test_uwsgi[{case.name}]" in chosen
        }
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_uwsgi(case, runs):
    runs[case.name].result()
