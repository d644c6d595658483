"""Imported by the programs of patterns: repeats a pattern and tells what is left of it.

The programs run in processes of their own, under the agent.
"""

import json
import os
import sys
import time

from pitviper import _native, profiles, tracer

ITERATIONS = int(os.environ["PROBE_ITERATIONS"])
_REPORT = os.environ["PROBE_REPORT"]
#: Repetitions before memory is measured the first time; after fewer, growth means nothing.
_WARM = max(3, ITERATIONS // 4)
#: How long threads and files may take to go, in seconds.
_PATIENCE = 60.0


def span(name="span"):
    """Makes one span."""
    with tracer.start_as_current_span(name):
        pass


def forked(work, leave=os._exit):
    """Runs work in a forked child and waits for its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            leave(status)
    wait(pid)


def wait(pid, expected=0):
    """Waits for a child, which must have ended so."""
    status = os.waitpid(pid, 0)[1]
    if status != expected:
        say(f"child {pid} ended with status {status}")


def join(threads):
    """Starts threads, or processes, and waits for them."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        if getattr(thread, "exitcode", 0):
            say(f"{thread.name} ended with status {thread.exitcode}")


def program(*arguments, **options):
    """Runs this Python with arguments; it must succeed, and say nothing."""
    import subprocess

    done = subprocess.run(
        [sys.executable, *arguments], check=False, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **options
    )
    if done.returncode or done.stderr:
        say(f"{arguments} ended with status {done.returncode}: {done.stderr.decode()}")


def say(problem):
    """Tells the harness of something that must not be."""
    write(problem=problem)


def write(**line):
    """Tells the harness something."""
    # One write a line: several processes share the file.
    file = os.open(_REPORT, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, (json.dumps(line) + "\n").encode())
    os.close(file)


def held():
    """Open files and threads of this process. The profiler has a file or two open for each thread, once it needs them."""
    threads = os.listdir("/proc/self/task")
    files = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            # The one that lists them.
            continue
        files += not any(target.startswith(f"/proc/{os.getpid()}/task/{thread}/") for thread in threads)
    return files, len(threads)


def _resident_kb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * (os.sysconf("SC_PAGESIZE") // 1024)


def loop(once):
    """Runs a pattern several times; afterwards there must be no more files and threads than after the
    second time, and every span of this process must be accounted for."""
    once()
    settle()
    before = held()
    resident = 0
    for done in range(1, ITERATIONS):
        if done == _WARM:
            resident = _resident_kb()
        once()
        if done == 1:
            # The profiler has the exporter connect anew, which it may not have done after the first.
            settle()
            before = tuple(map(max, before, held()))
    settle()
    until = time.monotonic() + _PATIENCE
    while any(now > then for now, then in zip(held(), before)) and time.monotonic() < until:
        time.sleep(0.02)
    after = held()
    if any(now > then for now, then in zip(after, before)):
        say(f"files and threads grew from {before} to {after}")
    if resident:
        write(grown_kb=_resident_kb() - resident)
    check()


def settle():
    """Sends what waits, so that what the exporter needs is there, and what the profiler needs, which begins a moment
    after the first span."""
    _native.flush(60_000)
    until = time.monotonic() + _PATIENCE
    while _begins() and time.monotonic() < until:
        time.sleep(0.005)


def _begins():
    if profiles.running():
        return not _native.profiler_figures()["rounds"]
    return profiles.is_waiting() and _native.stats()["started"]


def check():
    """Every span that was started has one outcome, and none was dropped."""
    stats = _native.stats()
    dropped = sum(value for key, value in stats.items() if key.startswith("dropped_"))
    if stats["started"] != stats["exported"] + stats["sampled_out"] + dropped + stats["pending"]:
        say(f"spans are missing: {stats}")
    if dropped:
        say(f"spans were dropped: {stats}")


def ending():
    """The program is done; from here on its end is timed."""
    write(ending=time.time())
