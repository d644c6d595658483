"""Runs all agents in interleaved rounds and writes ``results.md``::

run.py [--rounds N] [--row NAME] [--agent NAME] [--python PATH] [--dry]
"""

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "python" / "tools"), str(ROOT / "python" / "tests")]
import matrix  # noqa: E402
from agents import AGENTS  # noqa: E402
from interpreters import find  # noqa: E402
from report import LASTING, LAUNCHERS, PROFILED, report  # noqa: E402
from services.postgresql import served  # noqa: E402
from works import ROWS  # noqa: E402

VERSION = "3.12"
#: Rounds of those whose difference is small, and of the others, which take long.
ROUNDS, ROUNDS_OF_SLOW = 11, 3
#: Start-up takes little time and varies much.
ROUNDS_OF_LAUNCH = 9
#: Rows that tell something of agents which are only a variant of another.
ROWS_OF_VARIANTS = {
    "Pitviper, gzip": ("span", "Flask request"),
    PROFILED: ("span", "Flask request", "Django request", "FastAPI request"),
    "fastotel": ("span", "Flask request"),
}
#: An application that does nothing but tell its peak memory, in MB.
NOTHING = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 1024)
"""

Figures = dict[str, float]


class Bench:
    """The servers that are there while it runs, and where the agents are told of them."""

    def __init__(self, python: Path, sink: "list[str]", postgresql: str) -> None:
        self.python = python
        self.port, secure, authority = sink
        self.postgresql = postgresql
        endpoint = f"http://127.0.0.1:{self.port}"
        self.environ = {
            **{key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")},
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "",
            "PITVIPER_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "DD_TRACE_AGENT_URL": endpoint,
            "DD_TRACE_STARTUP_LOGS": "false",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
            "ELASTIC_APM_SERVER_URL": endpoint,
            "ELASTIC_APM_CLOUD_PROVIDER": "none",
            "NEW_RELIC_HOST": "127.0.0.1",
            "NEW_RELIC_PORT": secure,
            "NEW_RELIC_CA_BUNDLE_PATH": authority,
            "NEW_RELIC_LICENSE_KEY": "0" * 40,
            "NEW_RELIC_APP_NAME": "bench",
            "NEW_RELIC_LOG": os.devnull,
            # It would ask addresses of clouds where it is.
            **{f"NEW_RELIC_UTILIZATION_DETECT_{name}": "false" for name in ("AWS", "AZURE", "GCP", "PCF")},
        }

    def command(self, agent: str, work: str) -> "list[str]":
        """What one measurement is started with."""
        return [str(self.python), str(HERE / "contender.py"), agent, work, self.port, self.postgresql]

    def start(self, agent: str, work: str) -> "subprocess.Popen[str]":
        """Starts one measurement."""
        return subprocess.Popen(
            self.command(agent, work),
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )

    def measure(self, agent: str, work: str) -> Figures:
        """One process of one agent."""
        return finish(self.start(agent, work), agent, work)

    def launch(self, agent: str) -> Figures:
        """CPU time and memory of an application that does nothing, from the launcher's start to the end."""
        command = [*LAUNCHERS[agent], "python", "-c", NOTHING]
        process = subprocess.Popen(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE
        )
        assert process.stdout is not None and process.stderr is not None
        shown, complaint = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status != 0:
            sys.exit(f"{command[0]} failed:\n{complaint}")
        return {"spent": usage.ru_utime + usage.ru_stime, "memory": float(shown.splitlines()[-1])}


def finish(process: "subprocess.Popen[str]", agent: str, work: str) -> Figures:
    """The figures of a measurement, once it has ended."""
    shown, complaint = process.communicate(timeout=600)
    if process.returncode != 0:
        sys.exit(f"{agent}, {work} failed:\n{complaint[-4_000:]}")
    return json.loads(shown.splitlines()[-1])


@contextlib.contextmanager
def serving(python: Path) -> "Iterator[Bench]":
    """The bench, with its servers running."""
    with tempfile.TemporaryDirectory() as scratch, served(Path(scratch) / "postgresql.log") as postgresql:
        sink = subprocess.Popen([python, HERE / "sink.py"], stdout=subprocess.PIPE, text=True)
        assert sink.stdout is not None
        try:
            yield Bench(python, sink.stdout.readline().split(), postgresql.url)
        finally:
            sink.kill()
            sink.wait()


def rows_of(agent: str, wanted: "list[str]") -> "list[str]":
    """The rows that are measured of an agent."""
    return [row for row in ROWS if row in wanted and row in ROWS_OF_VARIANTS.get(agent, ROWS)]


def main() -> None:
    """Runs everything and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = [*ROWS, "start-up", "idle", "soak"]
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of ours and of no agent")
    parser.add_argument("--row", action="append", choices=works, help="measure only this; may be repeated")
    parser.add_argument("--agent", action="append", choices=list(AGENTS), help="only this one, beside none")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--dry", action="store_true", help="write no results.md")
    given = parser.parse_args()
    wanted = given.row or works
    agents = [agent for agent in AGENTS if not given.agent or agent == "none" or agent in given.agent]
    python = given.python or matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    figures: dict[tuple[str, str], list[Figures]] = {}
    began = time.monotonic()
    slow = max(1, min(ROUNDS_OF_SLOW, given.rounds // 2))

    def write() -> str:
        rounds = f"{given.rounds} rounds of none and ours, {slow} of the others"
        text = report(agents, figures, f"CPython {VERSION}, {platform.machine()}", time.monotonic() - began, rounds)
        if not given.dry:
            (HERE / "results.md").write_text(text, encoding="utf-8")
        return text

    with serving(python) as bench:
        if "start-up" in wanted:
            for _ in range(ROUNDS_OF_LAUNCH):
                for agent in agents:
                    if agent in LAUNCHERS:
                        figures.setdefault((agent, "start-up"), []).append(bench.launch(agent))
        for number in range(given.rounds):
            print(f"round {number + 1}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            for row in ROWS:
                for agent in agents:
                    is_quick = agent == "none" or agent.startswith("Pitviper")
                    if row in rows_of(agent, wanted) and number < (given.rounds if is_quick else slow):
                        figures.setdefault((agent, row), []).append(bench.measure(agent, row))
            # A run that is ended early has told what it knew.
            write()
        for work in ("idle", "soak"):
            if work in wanted:
                print(f"{work}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
                # These do little, so all do it at once.
                started = [(agent, bench.start(agent, work)) for agent in agents if agent in LASTING]
                for agent, process in started:
                    figures[agent, work] = [finish(process, agent, work)]
    print(write())


if __name__ == "__main__":
    main()
