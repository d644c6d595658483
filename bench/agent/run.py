"""Runs the contenders in interleaved rounds and writes ``results.md``."""

import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "python" / "tools"))
import matrix  # noqa: E402
from contender import REQUESTS, SPANS  # noqa: E402
from interpreters import find  # noqa: E402

VERSION = "3.12"
ROUNDS = 7
AGENTS = ("bare", "pitviper", "opentelemetry", "ddtrace")


def measure(python: Path, agent: str, work: str, port: str) -> "dict[str, float]":
    """One process of one contender."""
    command = [python, HERE / "contender.py", agent, work, port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode != 0:
        sys.exit(f"{agent} {work} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Runs everything and prints the table."""
    python = matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    sink = subprocess.Popen([sys.executable, HERE / "sink.py"], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    port = sink.stdout.readline().strip()
    figures: dict[tuple[str, str], list[dict[str, float]]] = {}
    try:
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
            for work in ("spans", "requests", "start"):
                for agent in AGENTS:
                    figures.setdefault((agent, work), []).append(measure(python, agent, work, port))
    finally:
        sink.kill()

    def median(agent: str, work: str, key: str) -> float:
        return statistics.median(figure[key] for figure in figures[agent, work])

    lines = [
        f"CPython {VERSION}, {platform.machine()}, medians of {ROUNDS} interleaved rounds,",
        "CPU time of the whole process, exporting included.",
        "",
        "| agent | ns a span | µs a request | times bare | added µs | start-up, added ms | memory at start, added MB |",
        "|---|---|---|---|---|---|---|",
    ]
    bare_span, bare_request = median("bare", "spans", "spent"), median("bare", "requests", "spent")
    for agent in AGENTS:
        span = (median(agent, "spans", "spent") - bare_span) / SPANS * 1e9
        request = median(agent, "requests", "spent") / REQUESTS * 1e6
        added = request - bare_request / REQUESTS * 1e6
        start = (median(agent, "start", "total") - median("bare", "start", "total")) * 1e3
        memory = median(agent, "start", "memory") - median("bare", "start", "memory")
        shown = "" if agent == "bare" else f"{span:,.0f}"
        lines.append(
            f"| {agent} | {shown} | {request:,.0f} | {request / (bare_request / REQUESTS * 1e6):.2f} "
            f"| {added:,.0f} | {start:,.0f} | {memory:.1f} |"
        )
    text = "\n".join(lines) + "\n"
    (HERE / "results.md").write_text(f"# Results\n\n{text}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
