"""Native frames: which C code a function runs, and that asking running threads for it disturbs nothing."""

import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sampled import LIMIT_S

from pitviper import _native

#: What stands for the code of a thread that did not answer in time.
UNKNOWN = (("<not known>", ""),)
#: How long a program works at a time, and how many answers are enough.
_WORK_S = 0.5
_ANSWERS = 25
#: Numbers that the interpreter keeps, so that no memory is needed for them.
SMALL = list(range(100))
NUMBERS = [(number * 7_919) % 100_003 for number in range(200_000)]


@pytest.fixture
def sampling() -> "Iterator[None]":
    assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
    assert _native.profiler_start(rate_hz=200.0, budget=1.0, native=True) is None
    assert _native.profiler_figures()["native"]
    yield
    _native.profiler_stop()
    assert not _native.profiler_figures()["native"]


def compress(until: float) -> None:
    data = os.urandom(1 << 16) + b"viper" * (1 << 14)
    while time.monotonic() < until:
        zlib.compress(data, 9)


def digest(until: float) -> None:
    while time.monotonic() < until:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20_000)


def arrange(until: float) -> None:
    while time.monotonic() < until:
        sorted(NUMBERS)


def count(until: float) -> None:
    while time.monotonic() < until:
        for _ in range(1_000):
            for _ in SMALL:
                pass


def stacks(function: str) -> "Counter[tuple[tuple[str, str], ...]]":
    """CPU time by the frames within a function, the innermost first: what each is called and which file it is of."""
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    for frames, labels, values in _native.profiler_take(True) or ():
        names = [name.rpartition(".")[2] for name, _, _ in frames]
        if function in names and values.get("cpu") and "state" in labels:
            inner = frames[: names.index(function)]
            found[tuple((name, os.path.basename(file)) for name, file, _ in inner)] += values["cpu"]
    return found


@pytest.mark.parametrize(
    ("work", "function", "files"),
    [
        (compress, ("deflate", "longest_match", "<libz"), ("libz", "zlib")),
        (digest, ("sha256", "SHA256", "PKCS5", "EVP", "HMAC", "<libcrypto"), ("libcrypto", "_hashlib")),
        (
            arrange,
            ("list_sort", "binarysort", "merge", "unsafe_long_compare", "<python", "count_run"),
            ("python", "libpython"),
        ),
    ],
    ids=["zlib", "hashlib", "sorted"],
)
def test_c_code_is_found(sampling: None, work: "Any", function: "tuple[str, ...]", files: "tuple[str, ...]") -> None:
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    deadline = time.monotonic() + LIMIT_S
    # A thread that waits for a processor itself answers late, so on a busy machine few do.
    while _native.profiler_figures()["native_answered"] < _ANSWERS:
        assert time.monotonic() < deadline, _native.profiler_figures()
        work(time.monotonic() + _WORK_S)
        found += stacks(work.__name__)
    inside = Counter[bool]()
    for frames, cpu_ns in found.items():
        is_of_files = any(file.startswith(files) for _, file in frames)
        if frames and frames != UNKNOWN:
            inside[is_of_files and any(name.startswith(function) for name, _ in frames)] += cpu_ns
    assert inside[True] > 0.8 * sum(inside.values()), found


def test_python_code_has_no_frames_of_the_interpreter(sampling: None) -> None:
    found: Counter[tuple[tuple[str, str], ...]] = Counter()
    deadline = time.monotonic() + LIMIT_S
    while _native.profiler_figures()["native_answered"] < _ANSWERS:
        assert time.monotonic() < deadline, _native.profiler_figures()
        count(time.monotonic() + _WORK_S)
        found += stacks("count")
    del found[UNKNOWN]
    assert not [name for frames in found for name, _ in frames if "_PyEval" in name]
    # Some versions step through a list by calling a function.
    assert found[()] > 0.2 * sum(found.values()), found


def test_calls_of_the_kernel_go_on(sampling: None) -> None:
    """Threads that are asked while they enter a call that waits are not told of it."""
    ended = threading.Event()
    failed: list[BaseException] = []

    def asked() -> None:
        left, right = socket.socketpair()
        left.settimeout(5.0)
        try:
            while not ended.is_set():
                sum(range(20_000))
                right.send(b"x")
                assert left.recv(1) == b"x"
                select.select([left], [], [], 0.001)
                began = time.monotonic()
                time.sleep(0.002)
                assert time.monotonic() - began >= 0.002
        except BaseException as error:
            failed.append(error)
        finally:
            left.close()
            right.close()

    threads = [threading.Thread(target=asked) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True).stdout == b"42\n"
    ended.set()
    for thread in threads:
        thread.join()
    assert not failed
    assert _native.profiler_figures()["native_asked"] > 0


def test_another_owner_of_the_signal_keeps_it() -> None:
    program = """
import signal, time
from pitviper import _native
got = []
signal.signal(signal.SIGURG, lambda *_: got.append(1))
assert _native.profiler_start(rate_hz=500.0, budget=1.0, native=True) is None
assert not _native.profiler_figures()["native"]
sum(range(10_000_000))
assert _native.profiler_figures()["walks"] and not got
_native.profiler_stop()
signal.signal(signal.SIGURG, signal.SIG_DFL)
assert _native.profiler_start(rate_hz=500.0, budget=1.0, native=True) is None
assert _native.profiler_figures()["native"]
sum(range(10_000_000))
signal.signal(signal.SIGURG, lambda *_: got.append(1))
_native.profiler_figures()
time.sleep(0.05)
got.clear()
sum(range(10_000_000))
assert not got, got
_native.profiler_stop()
assert signal.getsignal(signal.SIGURG) is not signal.SIG_DFL
print("kept")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("kept\n", 0), done.stderr


def test_forked_children_are_asked_too() -> None:
    program = """
import os, sys, time, zlib
from pitviper import _native
os.register_at_fork(after_in_child=_native.profiler_resume)
assert _native.profiler_start(rate_hz=200.0, budget=1.0, native=True) is None
def compress():
    until = time.monotonic() + 30
    while not _native.profiler_figures()["native_answered"] and time.monotonic() < until:
        zlib.compress(b"viper" * 100_000)
    return bool(_native.profiler_figures()["native_answered"])
child = os.fork()
found = compress()
if child == 0:
    os._exit(0 if found else 1)
print(found, os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True 0\n", 0), done.stderr


def test_a_command_is_profiled_down_to_c(tmp_path: Path) -> None:
    output = tmp_path / "profile.folded"
    program = f"import sys; sys.path[:0] = [{os.path.dirname(__file__)!r}]; import test_profiler_native as t; t.busy()"
    command = [
        sys.executable,
        "-m",
        "pitviper",
        "profile",
        "-n",
        "-r",
        "500",
        "-o",
        output,
        sys.executable,
        "-c",
        program,
    ]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    # The outermost frame first.
    lines = [line for line in output.read_text().splitlines() if "compress" in line]
    assert any("deflate" in line or "<libz" in line for line in lines), lines


def busy() -> None:
    """Works until the profiler has had its answers, or long enough on a machine without time for it."""
    deadline = time.monotonic() + LIMIT_S / 2
    # Imports have been answered for as well.
    enough = _native.profiler_figures()["native_answered"] + _ANSWERS
    while _native.profiler_figures()["native_answered"] < enough and time.monotonic() < deadline:
        compress(time.monotonic() + _WORK_S)
