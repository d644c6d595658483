"""Runs the contenders in interleaved rounds and writes ``results.md``."""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "python" / "tools"))
import matrix  # noqa: E402
from contender import IDLE, REQUESTS, SPANS  # noqa: E402
from interpreters import find  # noqa: E402

VERSION = "3.12"
ROUNDS = 7
#: Doing nothing takes long, and varies little.
IDLE_ROUNDS = 3
AGENTS = ("bare", "pitviper", "pitviper, gzip", "opentelemetry", "ddtrace")
#: The command that starts an application under the agent.
LAUNCHERS = {
    "bare": (),
    "pitviper": ("pitviper", "run"),
    "opentelemetry": ("opentelemetry-instrument",),
    "ddtrace": ("ddtrace-run",),
}
#: An application that does nothing but tell its peak memory, in MB.
NOTHING = """
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) / 1024)
"""


def measure(python: Path, agent: str, work: str, port: str) -> "dict[str, float]":
    """One process of one contender."""
    command = [python, HERE / "contender.py", agent, work, port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    if done.returncode != 0:
        sys.exit(f"{agent} {work} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def launch(python: Path, agent: str, port: str) -> "dict[str, float]":
    """CPU time and memory of an application that does nothing, from the launcher's start to the end."""
    endpoint = f"http://127.0.0.1:{port}"
    environ = {
        **os.environ,
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PITVIPER_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "DD_TRACE_AGENT_URL": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "DD_TRACE_STARTUP_LOGS": "false",
        "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    }  # fmt: skip
    command = [*LAUNCHERS[agent], "python", "-c", NOTHING]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    shown, complaint = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status != 0:
        sys.exit(f"{command[0]} failed:\n{complaint}")
    return {"spent": usage.ru_utime + usage.ru_stime, "memory": float(shown.splitlines()[-1])}


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
            for work in ("spans", "requests"):
                for agent in AGENTS:
                    figures.setdefault((agent, work), []).append(measure(python, agent, work, port))
            for agent in LAUNCHERS:
                figures.setdefault((agent, "launch"), []).append(launch(python, agent, port))
                if number < IDLE_ROUNDS:
                    figures.setdefault((agent, "idle"), []).append(measure(python, agent, "idle", port))
    finally:
        sink.kill()

    def median(agent: str, work: str, key: str) -> float:
        return statistics.median(figure[key] for figure in figures[agent, work])

    def added(agent: str, work: str, key: str) -> float:
        return median(agent, work, key) - median("bare", work, key)

    lines = [
        f"CPython {VERSION}, {platform.machine()}, medians of {ROUNDS} interleaved rounds, CPU time of the whole",
        "process, exporting included. A span has three attributes and lies ten deep. A request is the mean of three:",
        "two statements and a template, three statements, one call to another service.",
        "",
        "| agent | ns a span | µs a request | times bare | added µs | added peak MB |",
        "|---|---|---|---|---|---|",
    ]
    bare_request = median("bare", "requests", "spent") / REQUESTS * 1e6
    for agent in AGENTS:
        span = added(agent, "spans", "spent") / SPANS * 1e9
        request = median(agent, "requests", "spent") / REQUESTS * 1e6
        lines.append(
            f"| {agent} | {'' if agent == 'bare' else f'{span:,.0f}'} | {request:,.0f} | {request / bare_request:.2f} "
            f"| {request - bare_request:,.0f} | {added(agent, 'requests', 'memory'):.1f} |"
        )
    lines += [
        "",
        "Start-up: what the launcher adds to `python -c` of a program that does nothing.",
        "",
        "| launcher | added CPU ms | added peak MB |",
        "|---|---|---|",
    ]
    for agent, command in LAUNCHERS.items():
        if command:
            spent, memory = added(agent, "launch", "spent") * 1e3, added(agent, "launch", "memory")
            lines.append(f"| `{' '.join(command)}` | {spent:,.0f} | {memory:.1f} |")
    lines += [
        "",
        "Idle: CPU time that a process spends which traced one thing and then does nothing. Ours measures the process",
        "meanwhile and sends what it finds every ten seconds.",
        "",
        "| agent | CPU ms in 10 s |",
        "|---|---|",
    ]
    for agent in LAUNCHERS:
        lines.append(f"| {agent} | {median(agent, 'idle', 'spent') / IDLE * 1e4:,.2f} |")
    text = "\n".join(lines) + "\n"
    (HERE / "results.md").write_text(f"# Results\n\n{text}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
