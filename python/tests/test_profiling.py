"""The profiler as applications meet it: settings, API, what arrives, forks, ends, and files without a server."""

import gzip
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from pprof import Profile
from sink import Sink

from pitviper import _native, cli, config, info

#: Functions for programs: one that computes for so many seconds of CPU time, and one that calls it.
BUSY = """
import os, sys, threading, time

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))

def caller(seconds):
    burn(seconds)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def whole(sink: Sink, pid: "int | None" = None) -> "list[Profile]":
    """The profiles of a process, or of the only one there was."""
    pids = {profile.resource["process.pid"] for profile in sink.profiles}
    if pid is None:
        assert len(pids) == 1, pids
        return sink.profiles
    return [profile for profile in sink.profiles if profile.resource["process.pid"] == str(pid)]


def cpu(profiles: "list[Profile]", function: str = "") -> float:
    """Seconds of CPU time, of samples with a function or of all."""
    return sum(profile.total("cpu", function) for profile in profiles) / 1e9


def test_a_program_is_profiled_to_its_end(run: Run, sink: Sink) -> None:
    started = time.time_ns()
    program = (
        BUSY
        + "\nworker = threading.Thread(target=caller, args=(0.4,), name='cruncher')\nworker.start()\nworker.join()\ncaller(0.4)"
    )
    done = run(program, PITVIPER_PROFILING_ENABLED="true", PITVIPER_ENV="test", PITVIPER_VERSION="1.2 b")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    profiles = whole(sink)
    resource = profiles[0].resource
    assert resource["service.name"] == "program"
    assert resource["deployment.environment.name"] == "test"
    assert resource["service.version"] == "1.2 b"
    assert resource["service.instance.id"]
    assert resource["telemetry.sdk.name"] == "pitviper"
    first = profiles[0]
    assert started - 1e9 < first.time_ns < time.time_ns() and first.duration_ns > 0
    assert {("cpu", "nanoseconds"), ("wall", "nanoseconds")} <= set(first.types)
    # Each of the two threads burned 0.4 s, and little else was done after the start.
    for thread in ("MainThread", "cruncher"):
        own = [s for p in profiles for s in p.samples if s.labels.get("thread") == thread and "burn" in s.functions]
        assert 0.3 < sum(sample.values["cpu"] for sample in own) / 1e9 < 0.7, thread
        assert all(sample.functions[sample.functions.index("burn") + 1] == "caller" for sample in own)
    frames = {frame.function: frame for p in profiles for s in p.samples for frame in s.frames}
    assert (frames["burn"].in_app, frames["burn"].library) == (True, "")
    assert frames["burn"].file.endswith("program.py") and 4 <= frames["burn"].line <= 7
    waiting = next(frame for name, frame in frames.items() if name.endswith("join"))
    assert (waiting.in_app, waiting.library) == (False, "stdlib")


def test_the_main_thread_has_its_name_where_nobody_imported_threading(run: Run, sink: Sink) -> None:
    program = "import sys, time\nwhile time.thread_time() < 0.3:\n    pass\nprint('threading' in sys.modules)"
    done = run(program, PITVIPER_PROFILING_ENABLED="true", PITVIPER_INTEGRATIONS_DISABLED="threading")
    names = {sample.labels["thread"] for profile in sink.profiles for sample in profile.samples if sample.values["cpu"]}
    assert "MainThread" in names, (names, done.stdout)


def test_profiles_come_while_a_program_runs(run: Run, sink: Sink) -> None:
    run(BUSY + "\ncaller(1.6)", PITVIPER_PROFILING_ENABLED="true", DD_PROFILING_UPLOAD_INTERVAL="1")
    profiles = whole(sink)
    # After a sixth of a second, then about each second, and at the end.
    assert len(profiles) >= 3
    ordered = sorted(profiles, key=lambda profile: profile.time_ns)
    for before, after in zip(ordered, ordered[1:]):
        assert after.time_ns >= before.time_ns + before.duration_ns - 50_000_000, "profiles overlap"
    assert 1.3 < cpu(profiles, "burn") < 2.0


def test_profiles_tell_what_is_allocated_and_what_of_it_stays(run: Run, sink: Sink) -> None:
    program = "kept = []\ndef keeps():\n    kept.extend(bytes(100_000) for _ in range(200))\nkeeps()"
    run(program, PITVIPER_PROFILING_ENABLED="true", PITVIPER_PROFILING_HEAP_SAMPLE_BYTES="4096")
    (profile,) = sink.profiles
    units = dict(profile.types)
    assert (units["alloc_space"], units["alloc_objects"]) == ("bytes", "count")
    assert (units["inuse_space"], units["inuse_objects"]) == ("bytes", "count")
    for kind in ("alloc_space", "inuse_space"):
        assert 19_000_000 < profile.total(kind, "keeps") < 22_000_000
    assert all(sample.values["cpu"] == 0 for sample in profile.samples if sample.values["alloc_space"])
    sink.profiles.clear()
    run(program, PITVIPER_PROFILING_ENABLED="true", PITVIPER_PROFILING_HEAP="false")
    assert not any("space" in name for profile in sink.profiles for name, _ in profile.types)


def test_nothing_is_profiled_that_nobody_asked_for(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + "\ncaller(0.2)\nfrom pitviper import _native, tracer\ntracer.start_span('x').end()\nprint(_native.profiler_figures()['running'])"
    )
    assert run(program, PITVIPER_PROFILING_ENABLED="false").stdout == "False\n"
    assert run(program, PITVIPER_PROFILING_ENABLED="true", PITVIPER_ENABLED="false").stdout == "False\n"
    assert not sink.profiles


#: Prints the threads of this process that are the agent's: by the kernel, as Python knows nothing of them.
OWN_THREADS = """
def own_threads():
    names = []
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/comm") as file:
            names.append(file.read().strip())
    return sorted(name for name in names if name.startswith("pitviper"))
"""


def test_a_process_is_profiled_from_its_first_span_on(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + OWN_THREADS
        + """
def before():
    burn(0.3)

before()
print(own_threads())
from pitviper import _native, tracer
tracer.start_span("first").end()
began = time.monotonic()
while not _native.profiler_figures()["rounds"] and time.monotonic() < began + 30:
    time.sleep(0.01)
with tracer.start_as_current_span("second"):
    caller(0.4)
print("pitviper-prof" in own_threads())
"""
    )
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\nTrue\n", "")
    profiles = whole(sink)
    assert 0.3 < cpu(profiles, "caller") < 0.6
    assert cpu(profiles, "before") == 0
    (second,) = (span for span in sink.spans if span.name == "second")
    linked = sum(
        sample.values["cpu"]
        for profile in profiles
        for sample in profile.samples
        if sample.labels.get("trace id") == second.trace_id
    )
    assert linked > 0.3e9


def test_a_process_that_does_nothing_is_looked_at_seldom_but_for_its_requests(run: Run, sink: Sink) -> None:
    program = """
import time
from pitviper import _native, tracer

def request():
    time.sleep(0.04)

for _ in range(4):
    time.sleep(2)
    with tracer.start_as_current_span("request"):
        request()
print(_native.profiler_figures()["rounds"])
"""
    quick = {
        "PITVIPER_PROFILING_ENABLED": "true",
        "PITVIPER_PROFILING_RATE": "500",
        "PITVIPER_PROFILING_CPU_BUDGET": "0.5",
    }
    done = run(program, **quick)
    assert (done.returncode, done.stderr) == (0, "")
    # Ten a second, but for one second after each request; without that there were two thousand more.
    assert int(done.stdout) < 3_000
    samples = [sample for profile in whole(sink) for sample in profile.samples]
    of_requests = [sample for sample in samples if "request" in sample.functions]
    # Each was met, however short, and stands for none of the time before it.
    assert {sample.labels.get("span id") for sample in of_requests} == {span.span_id for span in sink.spans}
    assert sum(sample.values.get("wall", 0) for sample in of_requests) < 0.3e9


def test_a_loop_that_runs_already_has_its_tasks_named_when_profiling_begins(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + """
import asyncio
from pitviper import _native, tracer

async def named():
    with tracer.start_as_current_span("first"):
        pass
    began = time.monotonic()
    while not _native.profiler_figures().get("tasks") and time.monotonic() < began + 30:
        await asyncio.sleep(0.01)
    caller(0.3)

async def main():
    await asyncio.create_task(named(), name="reprices")

asyncio.run(main())
"""
    )
    done = run(program)
    assert (done.returncode, done.stderr) == (0, "")
    tasks = [sample.labels.get("task") for profile in whole(sink) for sample in profile.samples if sample.values["cpu"]]
    assert "reprices" in tasks


def test_children_begin_with_spans_of_their_own_when_their_parent_had_none(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + OWN_THREADS
        + """
from pitviper import _native, tracer

def child(makes_spans):
    if os.fork():
        assert os.wait()[1] == 0
        return
    if makes_spans:
        tracer.start_span("first").end()
        began = time.monotonic()
        while not _native.profiler_figures()["rounds"] and time.monotonic() < began + 30:
            time.sleep(0.01)
    caller(0.3)
    print(own_threads(), flush=True)
    import pitviper
    pitviper.shutdown()
    os._exit(0)

child(False)
child(True)
print(own_threads())
"""
    )
    done = run(program, PITVIPER_RUNTIME_METRICS="false", PITVIPER_METRICS_ENABLED="false")
    assert (done.returncode, done.stderr) == (0, "")
    silent, profiled, parent = done.stdout.splitlines()
    assert (silent, parent) == ("[]", "[]")
    assert "pitviper-prof" in profiled
    assert 0.2 < cpu(whole(sink), "caller") < 0.5


@pytest.mark.parametrize(("asked", "runs"), [("auto", False), ("true", True)])
def test_nothing_is_sampled_for_a_receiver_without_profiles_unless_asked_for(
    run: Run, sink: Sink, asked: str, runs: bool
) -> None:
    sink.refusals_by_path["/v1/pprof"] = [404] * 10
    program = (
        BUSY
        + """
from pitviper import _native, tracer
tracer.start_span("first").end()
end = time.monotonic() + 30
while not _native.stats()["profiles_dropped_export_failed"] and time.monotonic() < end:
    caller(0.05)
end = time.monotonic() + 3
while _native.profiler_figures()["running"] and time.monotonic() < end:
    time.sleep(0.01)
print(_native.profiler_figures()["running"])
"""
    )
    done = run(program, PITVIPER_PROFILING_ENABLED=asked, PITVIPER_PROFILING_UPLOAD_PERIOD="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{runs}\n", "")
    assert not sink.profiles


def test_a_profiler_of_the_application(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + """
from pitviper import _native
from pitviper.profiling import Profiler

with Profiler(service="shop", env="prod", version="7", tags={"team": "a&b"}) as profiler:
    assert profiler.running and profiler.problem is None
    caller(0.3)
    assert profiler.flush()
    caller(0.3)
assert not profiler.running
caller(0.2)
profiler.start()
profiler.start()
caller(0.2)
profiler.stop(flush=False)
profiler.stop()
stats = _native.stats()
print(stats["profiles_exported"], stats["profiles_pending"])
"""
    )
    done = run(program, PITVIPER_PROFILING_ENABLED="false")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 0\n"
    profiles = whole(sink)
    assert len(profiles) == 2
    for profile in profiles:
        named = {
            key: profile.resource[key]
            for key in ("service.name", "deployment.environment.name", "service.version", "team")
        }
        assert named == {
            "service.name": "shop",
            "deployment.environment.name": "prod",
            "service.version": "7",
            "team": "a&b",
        }
        assert 0.15 < cpu([profile], "burn") < 0.6


def test_a_profiler_of_the_application_takes_over(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + """
from pitviper.profiling import Profiler
first, second = Profiler(tags={"job": "first"}), Profiler(tags={"job": "second"})
first.start()
second.start()
first.stop()
assert second.running and not first.running
caller(0.3)
"""
    )
    done = run(program, PITVIPER_PROFILING_ENABLED="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert [profile.resource["job"] for profile in whole(sink)] == ["second"]


def test_what_the_end_of_the_process_may_not_send_is_lost(run: Run, sink: Sink) -> None:
    program = BUSY + "\nfrom pitviper.profiling import Profiler\nProfiler().start(stop_on_exit=False)\ncaller(0.2)"
    assert run(program).returncode == 0
    assert not sink.profiles


FORK = (
    BUSY
    + """
from pitviper.profiling import Profiler
Profiler().start(profile_children=sys.argv[1] == "yes")

def child_work():
    burn(0.4)

burn(0.3)
pid = os.fork()
if pid == 0:
    child_work()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
burn(0.2)
print(os.getpid(), pid)
"""
)


def test_children_of_a_fork_have_profiles_of_their_own(run: Run, sink: Sink) -> None:
    done = run(FORK, "yes")
    assert done.returncode == 0, done.stderr
    parent, child = map(int, done.stdout.split())
    assert 0.3 < cpu(whole(sink, child), "child_work") < 0.6
    assert cpu(whole(sink, child)) == pytest.approx(cpu(whole(sink, child), "child_work"), abs=0.15)
    assert cpu(whole(sink, parent), "child_work") == 0
    assert 0.35 < cpu(whole(sink, parent), "burn") < 0.8


def test_children_of_a_fork_are_left_alone_when_asked(run: Run, sink: Sink) -> None:
    done = run(FORK, "no")
    assert done.returncode == 0, done.stderr
    parent, child = map(int, done.stdout.split())
    assert not whole(sink, child)
    assert 0.35 < cpu(whole(sink, parent), "burn") < 0.8


def test_a_pool_of_processes_is_profiled(run: Run, sink: Sink) -> None:
    program = (
        BUSY
        + """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(caller, [0.3, 0.3], chunksize=1)
        pool.close()
        pool.join()
"""
    )
    done = run(program, PITVIPER_PROFILING_ENABLED="true")
    assert done.returncode == 0, done.stderr
    assert 0.5 < cpu(sink.profiles, "burn") < 1.2
    assert {p.resource["process.pid"] for p in sink.profiles if cpu([p], "burn") > 0.1}


COUNT = (
    BUSY
    + "\ncaller(0.2)\nimport pitviper\nfrom pitviper import _native\npitviper.flush({timeout})\nstats = _native.stats()\nprint(stats['profiles_exported'], stats['profiles_dropped_export_failed'], stats['profiles_pending'], stats['retries'])"
)


def test_a_receiver_that_is_busy_is_asked_again(run: Run, sink: Sink) -> None:
    sink.refusals_by_path["/v1/pprof"] = [503, 429]
    done = run(COUNT.format(timeout=10), PITVIPER_PROFILING_ENABLED="true")
    exported, failed, pending, retries = map(int, done.stdout.split())
    assert (exported, failed, pending) == (1, 0, 0) and retries >= 2
    assert "profiles wait in memory" in done.stderr


def test_a_receiver_without_profiles_is_left_alone(run: Run, sink: Sink) -> None:
    sink.refusals_by_path["/v1/pprof"] = [404] * 10
    done = run(COUNT.format(timeout=10), PITVIPER_PROFILING_ENABLED="true")
    assert done.stdout.split()[:3] == ["0", "1", "0"]
    assert done.stderr == ""


def test_profiles_have_the_headers_and_compression_of_spans(run: Run, sink: Sink) -> None:
    run(
        BUSY + "\ncaller(0.2)",
        PITVIPER_PROFILING_ENABLED="true",
        PITVIPER_TOKEN="secret",
        PITVIPER_HEADERS="a=b",
        PITVIPER_COMPRESSION="gzip",
    )
    assert sink.profiles
    headers = sink.by_path["/v1/pprof"][0]
    assert (headers["authorization"], headers["a"], headers["content-encoding"]) == ("Bearer secret", "b", "gzip")
    assert headers["content-type"] == "application/x-protobuf"


def test_settings_that_make_no_sense_are_named() -> None:
    environ = {
        "PITVIPER_PROFILING_ENABLED": "perhaps",
        "DD_PROFILING_ENABLED": "auto",
        "PITVIPER_PROFILING_RATE": "5000",
        "PITVIPER_PROFILING_CPU_BUDGET": "2",
        "PITVIPER_PROFILING_UPLOAD_PERIOD": "0",
        "DD_PROFILING_MEMORY_ENABLED": "false",
        "DD_PROFILING_HEAP_ENABLED": "true",
        "DD_PROFILING_HEAP_SAMPLE_SIZE": "1",
    }
    found = config.load(environ)
    assert found["profiling_enabled"] == "auto"
    assert (found["profiling_rate"], found["profiling_cpu_budget"], found["profiling_upload_period"]) == (
        100,
        0.01,
        60.0,
    )
    assert (found["profiling_heap"], found["profiling_heap_sample_bytes"]) == (False, 524_288)
    assert [problem.partition("=")[0] for problem in found.problems] == [
        "PITVIPER_PROFILING_ENABLED",
        "PITVIPER_PROFILING_RATE",
        "PITVIPER_PROFILING_CPU_BUDGET",
        "DD_PROFILING_HEAP_SAMPLE_SIZE",
        "PITVIPER_PROFILING_UPLOAD_PERIOD",
    ]


def test_info_says_what_the_profiler_would_do() -> None:
    asked = config.load({"PITVIPER_PROFILING_ENABLED": "true", "PITVIPER_PROFILING_RATE": "50"})
    assert info.profiler(asked) == ("on by PITVIPER_PROFILING_ENABLED: 50 samples a second", True)
    assert info.profiler(config.load({})) == ("on by default: 100 samples a second, from the first span on", True)
    refused = config.load({"DD_PROFILING_ENABLED": "false"})
    assert info.profiler(refused) == ("off by DD_PROFILING_ENABLED; it works here", True)
    assert not _native.profiler_figures()["running"]


@pytest.fixture
def profiled(tmp_path: Path) -> "Callable[..., subprocess.CompletedProcess[str]]":
    """Runs a program under ``pitviper profile``."""

    def start(source: str, *options: str, arguments: "tuple[str, ...]" = ()) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "job.py").write_text(source)
        command = [sys.executable, "-m", "pitviper", "profile", *options, "--", sys.executable, "job.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    return start


def test_a_command_is_profiled_into_a_page(profiled: Run, tmp_path: Path) -> None:
    done = profiled(BUSY + "\ncaller(0.3)\nprint('out')\nsys.exit(3)")
    assert (done.returncode, done.stdout) == (3, "out\n")
    (page,) = tmp_path.glob("profile-job-*.html")
    assert re.fullmatch(rf"pitviper: wrote {re.escape(str(page))} \(\d+\.\d s, \d+ samples\)\n", done.stderr)
    text = page.read_text()
    data = json.loads(text.partition('id="profile">')[2].partition("</script>")[0])
    assert "burn" in data["texts"] and data["samples"]
    assert "http://" not in text and "https://" not in text


def read_pprof(path: Path) -> Profile:
    return Profile(path.read_bytes())


def test_a_command_is_profiled_into_other_formats(profiled: Run, tmp_path: Path) -> None:
    program = BUSY + "\ncaller(0.2)"
    for options in (
        ["-o", "a.pb"],
        ["-o", "b.pb.gz"],
        ["--format=speedscope", "-o", "c"],
        ["-o", "d.folded", "-r", "200"],
    ):
        done = profiled(program, *options)
        assert done.returncode == 0, done.stderr
    assert cpu([Profile((tmp_path / "a.pb").read_bytes())], "burn") > 0.1
    assert cpu([Profile(gzip.decompress((tmp_path / "b.pb.gz").read_bytes()))], "burn") > 0.1
    scope = json.loads((tmp_path / "c").read_text())
    assert {"cpu · MainThread", "wall · MainThread"} <= {profile["name"] for profile in scope["profiles"]}
    line = next(line for line in (tmp_path / "d.folded").read_text().splitlines() if ";burn (" in line)
    assert re.search(r";caller \(.*job\.py:\d+\);burn \(.*job\.py:\d+\).* \d+$", line)


def test_each_process_of_a_command_has_a_file(profiled: Run, tmp_path: Path) -> None:
    program = (
        BUSY
        + """
import subprocess, multiprocessing
if __name__ == "__main__":
    caller(0.2)
    if len(sys.argv) == 1:
        subprocess.run([sys.executable, __file__, "child"], check=True)
        process = multiprocessing.get_context("fork").Process(target=caller, args=(0.2,))
        process.start()
        process.join()
"""
    )
    done = profiled(program, "-o", "job.pprof")
    assert done.returncode == 0, done.stderr
    files = {path.name for path in tmp_path.glob("job*.pprof")}
    assert len(files) == 3 and "job.pprof" in files, done.stderr
    for name in files:
        assert cpu([read_pprof(tmp_path / name)], "burn") > 0.1, name


def test_a_command_that_is_terminated_has_its_file(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(BUSY + "\ncaller(0.2)\nopen('ready', 'w').close()\ntime.sleep(60)")
    command = [sys.executable, "-m", "pitviper", "profile", "-o", "out.pprof", sys.executable, "job.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert cpu([read_pprof(tmp_path / "out.pprof")], "burn") > 0.1


def test_a_part_of_a_command_is_profiled(profiled: Run, tmp_path: Path) -> None:
    program = (
        BUSY + "\nwhile not os.path.exists('out.pprof'):\n    burn(0.05)\n\ndef later():\n    burn(0.3)\n\nlater()"
    )
    done = profiled(program, "-o", "out.pprof", "-d", "0.3")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("wrote") == 1
    profile = read_pprof(tmp_path / "out.pprof")
    assert cpu([profile], "burn") > 0.05 and cpu([profile], "later") == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "profile needs a command"),
        (["-o"], "-o needs a value"),
        (["--fast", "x"], "profile has no option --fast"),
        (["-f", "svg", "x"], "no format 'svg'; use html, speedscope, pprof, collapsed"),
        (["-r", "0", "x"], "no rate '0'; use a whole number from 1 to 1000"),
        (["-d", "never", "x"], "no duration 'never'; use a number of seconds"),
        (["-o", "/no/such/folder/x.html", "x"], "cannot write to /no/such/folder/x.html"),
    ],
)
def test_a_wrong_command_line_is_explained(capsys: Any, arguments: "list[str]", said: str) -> None:
    assert cli.main(["profile", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_command_that_is_not_there(capsys: Any) -> None:
    assert cli.main(["profile", "no-such-command-anywhere"]) == 127
    assert "no command 'no-such-command-anywhere'" in capsys.readouterr().err
