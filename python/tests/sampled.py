"""What the sampler gives, as tests ask of it."""

import contextlib
import threading
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from pitviper import _native

#: How long anything may take on a machine that does other things as well.
LIMIT_S = 60.0


class Sample(NamedTuple):
    """A sample, as the tests ask of it."""

    functions: "tuple[str, ...]"
    thread: str
    state: str
    cpu_ns: int
    wall_ns: int
    lines: "tuple[int, ...]"
    trace_id: str
    span_id: str
    root_id: str
    endpoint: str
    task: str


class Sampler:
    """The sampler, and all it has given so far."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def take(self, last: bool = False) -> "list[Sample]":
        for frames, labels, values in _native.profiler_take(last) or ():
            if "state" not in labels:
                # No sample of time.
                continue
            # Before Python 3.11 a function's name is not qualified.
            functions = tuple(function.rsplit(".", 1)[-1] for function, _, _ in frames)
            lines = tuple(line for _, _, line in frames)
            thread, state = str(labels["thread"]), str(labels["state"])
            linked = ("trace id", "span id", "local root span id", "endpoint", "task")
            ids = (str(labels.get(name, "")) for name in linked)
            times = (values.get("cpu", 0), values.get("wall", 0))
            self.samples.append(Sample(functions, thread, state, *times, lines, *ids))
        return self.samples

    def until(self, done: "Callable[[list[Sample]], bool]") -> "list[Sample]":
        """Waits until what was sampled is enough."""
        deadline = time.monotonic() + LIMIT_S
        while not done(self.take()):
            assert time.monotonic() < deadline, self.samples[-50:]
            time.sleep(0.02)
        return self.samples


@contextlib.contextmanager
def threads(*bodies: "tuple[str, Callable[[], object]]") -> "Generator[list[threading.Thread], None, None]":
    """Threads of these names, which have ended when the block has."""
    started = [threading.Thread(target=body, name=name) for name, body in bodies]
    for thread in started:
        thread.start()
    try:
        yield started
    finally:
        for thread in started:
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def spin(seconds: float) -> None:
    """Uses this much CPU time of the calling thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
