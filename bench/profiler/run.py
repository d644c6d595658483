"""Runs all profilers in interleaved rounds and writes ``results.md``::

run.py [--rounds N] [--profiler NAME] [--program NAME] [--python PATH] [--dry]
"""

import argparse
import collections
import email
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Optional

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "python" / "tools")]
import matrix  # noqa: E402
from interpreters import find  # noqa: E402
from known import KNOWN  # noqa: E402
from profilers import PROFILERS, RATE  # noqa: E402
from programs import PROGRAMS  # noqa: E402

VERSION = "3.12"
ROUNDS = 7
#: Seconds that a process may take, which needs some ten; one that hangs is ended, and then what it had measured counts.
PATIENCE_S = 300.0
#: Programs whose cost is measured; the others' profiles are known.
COSTS = [name for name in PROGRAMS if name not in KNOWN]
#: The known program whose shares are shown one by one.
SHOWN = "shares"


class Sink:
    """Stands in for the servers of all: takes everything, and keeps the profiles that came last."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str, bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                chunked = self.headers.get("Transfer-Encoding") == "chunked"
                body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if any(part in self.path for part in ("pprof", "profiling")):
                    sink.posts.append((self.path, self.headers.get("Content-Type", ""), body))
                self._answer(b"{}")

            do_PUT = do_POST

            def do_GET(self) -> None:
                self._answer(b'{"endpoints": ["/profiling/v1/input"], "version": "7.60.0"}')

            def _chunks(self) -> bytes:
                whole = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    whole += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return whole

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = str(self._server.server_port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


def run(python: Path, profiler: str, program: str, sink: Sink) -> "dict[str, Any]":
    """One process under one profiler: CPU seconds of it and of a profiler beside it, memory, what was sampled."""
    sink.posts.clear()
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "profile"
        places = {"python": python, "program": HERE / "programs.py", "output": output}
        started = [part.format_map(places) for part in PROFILERS[profiler].command]
        command = [*started, profiler, program, sink.port]
        environ = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        process = subprocess.Popen(
            command,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
            start_new_session=True,
        )
        assert process.stdout is not None and process.stderr is not None
        hangs = threading.Timer(PATIENCE_S, _end, (process, f"{profiler}, {program}"))
        hangs.start()
        shown, complaint = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        hangs.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        lines = [line for line in shown.splitlines() if line.startswith("{")]
        if not lines:
            sys.exit(f"{profiler}, {program} failed:\n{shown[-2_000:]}{complaint[-4_000:]}")
        figures = json.loads(lines[-1])
        if PROFILERS[profiler].is_beside:
            # Its child's time is in it as well; what remains is its own.
            figures["beside"] = usage.ru_utime + usage.ru_stime
        if program in KNOWN and profiler != "none":
            text = output.read_text() if output.exists() else None
            figures["sampled"] = sampled(python, program, list(figures["known"]), sink, text)
    return figures


def _end(process: "subprocess.Popen[str]", name: str) -> None:
    """Ends a process that hangs, and those that it has started."""
    print(f"{name} hung for {PATIENCE_S:.0f} s after it began, and was ended", file=sys.stderr, flush=True)
    os.killpg(process.pid, signal.SIGKILL)


def sampled(
    python: Path, program: str, functions: "list[str]", sink: Sink, collapsed: Optional[str]
) -> "dict[str, float]":
    """What the profile says of functions, in the profiler's own unit; `*` has the number of samples."""
    if collapsed is not None:
        found: collections.Counter[str] = collections.Counter()
        for line in collapsed.splitlines():
            stack, _, number = line.rpartition(" ")
            frames = (re.match(r"[\w.<>]+", frame) for frame in reversed(stack.split(";")))
            known = next((frame[0] for frame in frames if frame and frame[0] in functions), None)
            if known:
                found[known] += int(number)
                found["*"] += int(number)
        return dict(found)
    bodies: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, (_, content_type, body) in enumerate(sink.posts):
            file = Path(scratch) / str(number)
            file.write_bytes(_attached(content_type, body) if "multipart" in content_type else body)
            bodies.append(str(file))
        reader = [str(python), str(HERE / "sums.py"), KNOWN[program].kind, ",".join(functions), *bodies]
        read = subprocess.run(reader, check=True, capture_output=True, text=True)
    return json.loads(read.stdout)


def _attached(content_type: str, body: bytes) -> bytes:
    """The pprof of a multipart form."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    for part in message.walk():
        if (part.get_filename() or "").endswith("pprof"):
            return part.get_payload(decode=True)  # pyright: ignore
    return b""


Figures = dict[tuple[str, str], list[dict[str, Any]]]


def _median(found: "list[dict[str, Any]]", key: str) -> float:
    return statistics.median(figure[key] for figure in found)


def costs(figures: Figures, profilers: "list[str]", programs: "list[str]") -> "list[str]":
    """The table of what each adds."""
    head = ["", *[f"{program}, CPU" for program in programs], *[f"{program}, MB" for program in programs]]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for profiler in profilers:
        cells = [profiler]
        for key in ("spent", "memory"):
            for program in programs:
                bare, own = figures["none", program], figures[profiler, program]
                if key == "memory":
                    added = _median(own, key) - _median(bare, key)
                    cells.append(f"{_median(own, key):.0f}" if profiler == "none" else f"+{added:.1f}")
                elif profiler == "none":
                    cells.append(f"{_median(own, key):.2f} s")
                else:
                    # Rounds are beside each other, so that the machine's moods are in both.
                    ratios = [mine["spent"] / theirs["spent"] for mine, theirs in zip(own, bare)]
                    beside = [mine["beside"] - mine["spent"] for mine in own if "beside" in mine]
                    text = f"{(statistics.median(ratios) - 1) * 100:+.1f} %"
                    if beside:
                        text += f", outside {statistics.median(beside) / _median(bare, key) * 100:.0f} %"
                    cells.append(text)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def knows(profiler: str, program: str) -> bool:
    """Whether a profiler has what is known of a program, and that can be read here."""
    return KNOWN[program].kind in PROFILERS[profiler].kinds


class Shares:
    """What a profiler found of a known program, and what is true, of all rounds together."""

    def __init__(self, figures: "list[dict[str, Any]]") -> None:
        found: collections.Counter[str] = collections.Counter()
        truth: collections.Counter[str] = collections.Counter()
        for figure in figures:
            found.update(figure["sampled"])
            truth.update(figure["known"])
        self.names = list(truth)
        sums = sum(found[name] for name in self.names), sum(truth.values())
        self.found = {name: found[name] / max(sums[0], 1) for name in self.names}
        self.true = {name: truth[name] / sums[1] for name in self.names}
        self.samples = sum(figure["samples"] or figure["sampled"].get("*", 0) for figure in figures)

    @property
    def error(self) -> float:
        """The largest difference of a share."""
        return max(abs(self.found[name] - self.true[name]) for name in self.names)


def accuracy(figures: Figures, profilers: "list[str]") -> "list[str]":
    """The table of the shares of one program."""
    readers = [profiler for profiler in profilers if knows(profiler, SHOWN)]
    shares = {profiler: Shares(figures[profiler, SHOWN]) for profiler in readers}
    if not shares:
        return []
    names = next(iter(shares.values())).names
    head = ["", *names, "largest error", "samples", "a second of CPU"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    known = [figure["known"] for figure in figures["none", SHOWN]]
    true = [statistics.median(one[name] / sum(one.values()) for one in known) for name in names]
    lines.append(f"| measured by the program | {' | '.join(f'{share * 100:.1f} %' for share in true)} | | | |")
    for profiler, found in shares.items():
        spent = sum(figure["spent"] for figure in figures[profiler, SHOWN])
        cells = [f"{found.found[name] * 100:.1f} %" for name in names]
        cells += [f"{found.error * 100:.1f} points", f"{found.samples}", f"{found.samples / spent:.0f}"]
        lines.append(f"| {profiler} | {' | '.join(cells)} |")
    return lines


def errors(figures: Figures, profilers: "list[str]") -> "list[str]":
    """The table of the largest errors of all known programs."""
    readers = [profiler for profiler in profilers if any(knows(profiler, program) for program in KNOWN)]
    lines = [f"| | {' | '.join(readers)} |", "|---" * (len(readers) + 1) + "|"]
    for program, known in KNOWN.items():
        cells = [
            f"{Shares(figures[profiler, program]).error * 100:.1f}" if knows(profiler, program) else ""
            for profiler in readers
        ]
        lines.append(f"| {program}, {known.kind} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Runs everything and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--profiler", action="append", choices=list(PROFILERS), help="only this one, beside none")
    parser.add_argument("--program", action="append", choices=COSTS, help="only the cost of this one; implies --dry")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--dry", action="store_true", help="write no results.md")
    given = parser.parse_args()
    profilers = [name for name in PROFILERS if not given.profiler or name == "none" or name in given.profiler]
    python = given.python or matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    sink = Sink()
    figures: Figures = collections.defaultdict(list)
    for number in range(given.rounds):
        for program in given.program or PROGRAMS:
            for profiler in profilers:
                if program in COSTS or profiler == "none" or knows(profiler, program):
                    figures[profiler, program].append(run(python, profiler, program, sink))
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
    sink.close()
    if given.program:
        print("\n".join(costs(figures, profilers, given.program)))
        return
    text = "\n".join(
        [
            "# Results",
            "",
            f"CPython {VERSION}, {os.cpu_count()} processors, {platform.machine()}; medians of {given.rounds}"
            f" interleaved rounds; {RATE} samples a second asked for.",
            "",
            "What a profiler adds to the CPU time of the whole process while it works, and to its peak memory:",
            "",
            *costs(figures, profilers, COSTS),
            "",
            "Shares of the CPU time of four functions, as a profiler found them and as the program measured them:",
            "",
            *accuracy(figures, profilers),
            "",
            "The largest error of a function's share in each program whose profile is known, in points:",
            "",
            *errors(figures, profilers),
            "",
        ]
    )
    print(text)
    if not given.dry:
        (HERE / "results.md").write_text(text)


if __name__ == "__main__":
    main()
