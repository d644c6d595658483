"""What the agent measures of its process, against what the process reads itself."""

import contextlib
import gc
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from web_servers import get, process_serving

import pitviper
from pitviper import _native, runtime

_DISTRIBUTIONS = """
import json
from importlib import metadata
print(json.dumps([(found.metadata["Name"], found.version) for found in metadata.distributions()]))
"""
_FIRST_SPAN = "import pitviper\npitviper.tracer.start_span('first').end()\n"


def latest(sink, **resource):
    """The last point of each series, as (metric, value of its attribute) to the point."""
    found = {}
    for point in sink.points:
        if all(point.resource.get(key) == value for key, value in resource.items()):
            found[(point.name, *point.attributes.values())] = point
    return found


def test_figures_are_those_of_proc(run, sink):
    source = (
        _FIRST_SPAN
        + """
import json, mmap, os, resource, threading, time
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(5)]
for thread in threads: thread.start()
files = [open("/dev/null") for _ in range(20)]
memory = mmap.mmap(-1, 50_000_000)
for at in range(0, len(memory), 4096): memory[at] = 1
until = time.process_time() + 0.5
while time.process_time() < until: pass
assert pitviper.flush(10)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
usage = resource.getrusage(resource.RUSAGE_SELF)
boot = float(open("/proc/uptime").read().split()[0])
print(json.dumps({
    "rss": int(status["VmRSS"].split()[0]) * 1024, "virtual": int(status["VmSize"].split()[0]) * 1024,
    "threads": int(status["Threads"]), "files": len(os.listdir("/proc/self/fd")) - 1,
    "user": usage.ru_utime, "system": usage.ru_stime, "minor": usage.ru_minflt, "major": usage.ru_majflt,
    "voluntary": usage.ru_nvcsw, "involuntary": usage.ru_nivcsw,
    "uptime": boot - int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK"),
    "total": next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemTotal")),
    "cpus": len(os.sched_getaffinity(0)),
}), flush=True)
stop.set()
os._exit(0)
"""
    )
    began = time.time_ns()
    # The end would collect a second time.
    done = run(source, PITVIPER_INTEGRATIONS_DISABLED="os")
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    sent = latest(sink)

    def value(*key):
        return sent[key].value

    assert value("process.memory.usage") == pytest.approx(read["rss"], rel=0.1)
    # Each new thread may reserve an arena of 64 MB.
    assert value("process.memory.virtual") == pytest.approx(read["virtual"], abs=150_000_000)
    assert value("process.memory.usage") > 50_000_000
    assert value("process.thread.count") == read["threads"]
    # The exporter's connection comes and goes.
    assert abs(value("process.unix.file_descriptor.count") - read["files"]) <= 2
    assert (
        0.4 < value("process.cpu.time", "user") + value("process.cpu.time", "system") <= read["user"] + read["system"]
    )
    for mode in ("user", "system"):
        assert value("process.cpu.time", mode) == pytest.approx(read[mode], abs=0.2)
    assert value("process.paging.faults", "minor") == pytest.approx(read["minor"], rel=0.1)
    assert value("process.paging.faults", "major") <= read["major"]
    assert 0 < value("process.context_switches", "voluntary") <= read["voluntary"]
    assert value("process.context_switches", "involuntary") <= read["involuntary"]
    assert value("process.uptime") == pytest.approx(read["uptime"], abs=1)
    assert 0 < value("process.cpu.utilization", "user") <= 1.05
    assert 0 < value("process.memory.utilization") < 1
    cpu = sent["process.cpu.time", "user"]
    assert (cpu.kind, cpu.temporality, cpu.is_monotonic, cpu.unit) == ("sum", "cumulative", True, "s")
    # It counts from the start of the process, which is before that of the interpreter's code.
    assert abs(cpu.start_ns - began) < 5e9 and cpu.start_ns < cpu.time_ns
    assert cpu.scope == "pitviper.runtime" and cpu.scope_version == _native.__version__


def _limited(tmp_path):
    """Control groups with a limit of memory and of a twentieth of a processor: their files of processes."""
    name = f"pitviper-test-{os.getpid()}"
    memory, cpu = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup/cpu")
    if memory.is_dir():
        limits = {
            memory / name: {"memory.limit_in_bytes": "300000000"},
            cpu / name: {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "5000"},
        }
    else:
        limits = {Path("/sys/fs/cgroup") / name: {"memory.max": "300000000", "cpu.max": "5000 100000"}}
    for folder, files in limits.items():
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text)
    return list(limits)


def test_limits_of_a_control_group_are_those_that_count(run, sink, tmp_path):
    folders = []
    try:
        try:
            folders = _limited(tmp_path)
        except OSError as error:
            assert not os.environ.get("CI"), f"no control group can be made: {error}"
            pytest.skip(f"no control group can be made: {error}")
        source = f"""
import os, pitviper
for folder in {[str(folder) for folder in folders]!r}:
    with open(folder + "/cgroup.procs", "w") as file: file.write(str(os.getpid()))
import time
{_FIRST_SPAN}
until = time.monotonic() + 0.8
while time.monotonic() < until: pass
assert pitviper.flush(10)
"""
        done = run(source)
        assert done.returncode == 0, done.stderr
    finally:
        for folder in folders:
            folder.rmdir()
    sent = latest(sink)
    assert sent["pitviper.container.memory.limit",].value == pytest.approx(300_000_000, abs=4096)
    assert sent["pitviper.container.cpu.limit",].value == pytest.approx(0.05)
    used, left = sent["container.memory.usage",].value, sent["container.memory.available",].value
    assert used + left == sent["pitviper.container.memory.limit",].value and used > 0
    share = sent["process.memory.usage",].value / sent["pitviper.container.memory.limit",].value
    assert sent["process.memory.utilization",].value == pytest.approx(share, rel=0.01)
    # A busy loop is kept from more than the limit; how much it gets of that is the machine's affair.
    assert sent["pitviper.container.cpu.throttled.time",].value > 0
    assert sent["process.cpu.utilization", "user"].value + sent["process.cpu.utilization", "system"].value > 0


def test_garbage_collections_are_counted_and_timed(run, sink):
    source = (
        _FIRST_SPAN
        + """
import gc, json
for _ in range(3): gc.collect()
gc.collect(0)
class Cycle: pass
one = Cycle(); one.self = one; del one
gc.collect()
gc.disable()
assert pitviper.flush(10)
print(json.dumps(gc.get_stats()))
"""
    )
    done = run(source)
    assert done.returncode == 0, done.stderr
    stats = json.loads(done.stdout)
    sent = latest(sink)
    for generation, expected in enumerate(stats):
        assert sent["cpython.gc.collections", generation].value == expected["collections"]
        assert sent["cpython.gc.collected_objects", generation].value == expected["collected"]
        assert sent["cpython.gc.uncollectable_objects", generation].value == expected["uncollectable"]
    pause = sent["pitviper.python.gc.pause", 2]
    assert pause.kind == "exponential_histogram" and pause.unit == "s"
    assert 4 <= pause.point.count <= stats[2]["collections"]
    assert 0 < pause.point.min <= pause.point.max < 5


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_blocked_event_loop_is_seen_and_left_alone(run, sink, kind):
    source = (
        _FIRST_SPAN
        + f"""
import asyncio, gc, time, weakref
import {kind}
from pitviper import runtime
runtime.LAG_PERIOD = 0.05
async def main():
    assert asyncio.all_tasks() == {{asyncio.current_task()}}
    await asyncio.sleep(0.2)
    time.sleep(0.4)
    await asyncio.sleep(0.1)
loop = {kind}.new_event_loop()
loop.set_debug(True)
loop.run_until_complete(main())
loop.run_until_complete(main())
loop.close()
gone = weakref.ref(loop)
del loop
gc.collect()
print(type(gone()).__name__)
assert pitviper.flush(10)
"""
    )
    done = run(source, command=(), PYTHONWARNINGS="error::ResourceWarning")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "NoneType\n", "the loop is kept alive"
    # The interpreter itself may lie in a folder of that name.
    assert str(Path(pitviper.__file__).parent) not in done.stderr and "never" not in done.stderr
    lag = latest(sink)["pitviper.python.event_loop.lag",].point
    # Twice four tenths of a second were blocked, and between them the loop ran freely.
    assert 0.3 < lag.max < 5 and lag.count >= 6 and lag.min < 0.3


def test_a_busy_interpreter_lock_is_waited_for(run, sink):
    source = (
        _FIRST_SPAN
        + """
import sys, threading, time
sys.setswitchinterval(0.1)
until = time.monotonic() + 4
def busy():
    while time.monotonic() < until: sum(range(1000))
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert pitviper.flush(10)
"""
    )
    assert run(source).returncode == 0
    wait = latest(sink)["pitviper.python.gil.wait",].point
    # The threads change every tenth of a second, and who asks has to wait for that.
    assert wait.count >= 1 and wait.max > 0.004


def test_a_forked_child_counts_from_zero(run, sink):
    source = (
        _FIRST_SPAN
        + """
import gc, os, time
until = time.process_time() + 0.4
while time.process_time() < until: pass
for _ in range(20): gc.collect()
pitviper.flush(10)
pid = os.fork()
if pid == 0:
    gc.disable()
    gc.collect(1)
    pitviper.tracer.start_span('child').end()
    os._exit(0 if pitviper.flush(10) else 1)
assert os.waitpid(pid, 0)[1] == 0
print(pid, os.getpid())
"""
    )
    before = time.time_ns()
    done = run(source, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert done.returncode == 0, done.stderr
    child, parent = map(int, done.stdout.split())
    of_child, of_parent = (latest(sink, **{"process.pid": pid}) for pid in (child, parent))
    spent = [sum(sent["process.cpu.time", mode].value for mode in ("user", "system")) for sent in (of_parent, of_child)]
    assert spent[0] > 0.4 > spent[1]
    assert of_parent["cpython.gc.collections", 2].value >= 20
    assert [of_child["cpython.gc.collections", number].value for number in (0, 1, 2)] == [0, 1, 0]
    assert of_child["process.cpu.time", "user"].start_ns > before
    assert of_child["process.uptime",].value < of_parent["process.uptime",].value
    assert of_child["process.uptime",].resource["process.parent_pid"] == parent


@pytest.mark.parametrize("preload", [False, True])
def test_workers_of_gunicorn_say_who_they_are(sink, tmp_path, preload):
    (tmp_path / "shop.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'ok']\n"
    )
    command = ["gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "shop:app", *(["--preload"] if preload else [])]
    with process_serving(command, sink, tmp_path, PITVIPER_METRICS_INTERVAL="200") as (port, server):
        until = time.monotonic() + 20
        seen = {}
        while len(seen) < 2 and time.monotonic() < until:
            get(port, "/")
            time.sleep(0.05)
            seen = {
                point.resource["process.pid"]: point.resource
                for point in list(sink.points)
                if point.name == "process.memory.usage" and "pitviper.worker.name" in point.resource
            }
        names = {resource["pitviper.worker.name"] for resource in seen.values()}
        assert {resource["pitviper.worker.kind"] for resource in seen.values()} == {"gunicorn"}
        assert len(names) == 2 and all(name.isdigit() for name in names)
        parents = {resource["process.parent_pid"] for resource in seen.values()}
        # The master serves nothing, and so has no thread and sends nothing.
        assert parents == {server.pid} and server.pid not in {point.resource["process.pid"] for point in sink.points}
        assert len(os.listdir(f"/proc/{server.pid}/task")) == 1
    # What it logged before it forked is sent at its end.
    logged = {log.body.split(" ")[0] for log in sink.logs if log.resource["process.pid"] == server.pid}
    assert {"Starting", "Listening", "Handling"} <= logged
    names = [log.resource.get("pitviper.worker.name") for log in sink.logs if log.resource["process.pid"] == server.pid]
    assert names[-1:] == ["master"]


def test_workers_of_multiprocessing_say_who_they_are(run, sink):
    source = """
import multiprocessing, time, pitviper
def work():
    pitviper.tracer.start_span('work').end()
    time.sleep(0.3)
if __name__ == '__main__':
    child = multiprocessing.get_context('fork').Process(target=work, name='importer')
    child.start()
    child.join()
    pitviper.tracer.start_span('main').end()
"""
    assert run(source).returncode == 0
    workers = {point.resource.get("pitviper.worker.name"): point.resource for point in sink.points}
    assert set(workers) == {"importer", None}
    assert workers["importer"]["pitviper.worker.kind"] == "multiprocessing"


def test_distributions_are_reported_once_without_importing_them(run, sink):
    source = (
        _FIRST_SPAN
        + """
import sys, time, flask
before = set(sys.modules)
time.sleep(1.0)
print(sorted(set(sys.modules) - before))
"""
    )
    done = run(source, PITVIPER_METRICS_INTERVAL="150")
    assert done.stdout == "[]\n", done.stderr
    events = [log for log in sink.logs if log.event_name == "pitviper.libraries"]
    assert len(events) == 1 and events[0].scope == "pitviper.runtime"
    reported = {item["name"]: (item["version"], item["loaded"]) for item in events[0].body}
    # In a process of its own: setuptools adds what it brings along to the path of this one.
    listed = subprocess.run([sys.executable, "-c", _DISTRIBUTIONS], capture_output=True, text=True, check=True)
    installed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in json.loads(listed.stdout)}
    assert {name: version for name, (version, _) in reported.items()} == installed
    assert events[0].attributes == {"pitviper.libraries.total": len(installed)}
    assert reported["flask"][1] and reported["werkzeug"][1] and not reported["pytest"][1]


def test_switched_off_watches_nothing(run, sink):
    source = (
        _FIRST_SPAN
        + "import gc, os\nprint(len(gc.callbacks), sorted(open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task'))[1:])\n"
    )
    done = run(source, PITVIPER_RUNTIME_METRICS_ENABLED="false", PITVIPER_LIBRARIES_ENABLED="false")
    assert done.stdout == "0 ['python']\n" or done.stdout.startswith("0 ["), done.stdout
    assert "pitviper-runtime" not in done.stdout
    sink.wait_for(1)
    assert not [point for point in sink.points if point.scope == "pitviper.runtime"]


def test_what_became_of_spans_is_told(run, sink):
    source = """
import pitviper, logging
logging.warning("once")
for number in range(40):
    with pitviper.tracer.start_as_current_span("root"):
        pitviper.tracer.start_span("child").end()
assert pitviper.flush(10)
from pitviper import _native
print(_native.stats()["sampled_out"])
"""
    done = run(source, PITVIPER_SAMPLE_RATE="0.5")
    assert done.returncode == 0, done.stderr
    left_out = int(done.stdout)
    assert 0 < left_out < 80, "one chance in 2^39 to fail"
    sent = latest(sink)
    assert sent["otel.sdk.span.started", "DROP"].value == left_out
    assert sent["otel.sdk.span.started", "RECORD_AND_SAMPLE"].value == 80 - left_out == len(sink.spans)
    assert sent[("otel.sdk.processor.span.processed",)].value == 80 - left_out
    # What is on its way with these figures is not confirmed yet.
    assert sent[("otel.sdk.exporter.span.exported",)].value <= 80 - left_out
    assert not [key for key in sent if key[0].startswith("otel.sdk.") and key[1:] == ("queue_full",)]


def test_full_queues_are_told(run, sink):
    source = """
import pitviper
pitviper.init()
for number in range(3_000):
    pitviper.tracer.start_span("one").end()
"""
    done = run(source, OTEL_BSP_MAX_QUEUE_SIZE="64", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="64")
    assert done.returncode == 0, done.stderr
    sent = latest(sink)
    started = sent["otel.sdk.span.started", "RECORD_AND_SAMPLE"].value
    lost = sent["otel.sdk.processor.span.processed", "queue_full"].value
    assert (started, lost > 0) == (3_000, True)
    assert sent[("otel.sdk.processor.span.processed",)].value + lost == started


def test_every_interval_by_itself(run, sink):
    run(_FIRST_SPAN + "import time\ntime.sleep(1)\n", PITVIPER_METRICS_INTERVAL="200")
    times = sorted({point.time_ns for point in sink.points if point.name == "process.uptime"})
    # Five intervals, and the end of the process.
    assert 4 <= len(times) <= 7


def test_collecting_in_the_middle_of_a_collection(agent):
    # A callback that measures, while the collector runs, must not wait for what its own thread holds.
    calls = []

    def measure(phase, info):
        calls.append(phase)
        pitviper.tracer.start_span("within").end()

    gc.callbacks.append(measure)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(measure)
    assert calls == ["start", "stop"] and [span.name for span in agent()].count("within") == 2


def test_worker_identity_of_servers_that_are_not_here(monkeypatch):
    # uwsgi's module exists only inside of its processes.
    class Uwsgi:
        worker, mule, master = 3, 0, os.getpid()

        def worker_id(self):
            return self.worker

        def mule_id(self):
            return self.mule

        def masterpid(self):
            return self.master

    module = Uwsgi()
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert runtime.worker_identity() == ("uwsgi", "3")
    module.worker, module.mule = 0, 2
    assert runtime.worker_identity() == ("uwsgi", "mule 2")
    module.mule = 0
    assert runtime.worker_identity() == ("uwsgi", "master")
    module.master = 0
    assert runtime.worker_identity() is None


def test_machine_and_process_describe_themselves(agent):
    pitviper.tracer.start_span("anything").end()
    resource = agent()[-1].resource
    with contextlib.suppress(OSError):
        assert resource["host.id"] == Path("/etc/machine-id").read_text().strip()
    assert resource["host.arch"] in ("amd64", "arm64")
    assert resource["os.type"] == "linux" and resource["os.build_id"] == os.uname().release
    assert resource["process.parent_pid"] == os.getppid()
