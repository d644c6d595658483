"""The tables of ``results.md``."""

import statistics
from typing import Any, Optional

from contender import IDLE, SOAK, SOAK_RATE
from works import ROWS

#: The command that starts an application under each agent; what has none is a variant of another.
LAUNCHERS = {
    "none": (),
    "Pitviper": ("pitviper", "run"),
    "ddtrace": ("ddtrace-run",),
    "OpenTelemetry": ("opentelemetry-instrument",),
    "New Relic": ("newrelic-admin", "run-program"),
    "Elastic": ("elasticapm-run",),
}
#: Ours as it is by default.
PROFILED = "Pitviper, profiled"
#: Whose memory is told, and which idle and last; other variants tell no more there.
LASTING = (*LAUNCHERS, PROFILED)
_OURS, _MEASURE = "Pitviper", "ddtrace"
#: The unit of rows whose figures are no microseconds.
_NANOSECONDS = ("span",)

Figures = dict[tuple[str, str], list[dict[str, Any]]]


def table(head: "list[str]", rows: "list[list[str]]") -> "list[str]":
    """The lines of a table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines] + [""]


class _Report:
    def __init__(self, agents: "list[str]", figures: Figures) -> None:
        self._agents = agents
        self._figures = figures

    def median(self, agent: str, work: str, key: str) -> Optional[float]:
        found = self._figures.get((agent, work))
        return statistics.median(figure[key] for figure in found) if found else None

    def added(self, agent: str, work: str, key: str) -> Optional[float]:
        """What an agent adds to what there is without one: the median of the differences to the process without, of
        the same round, as the machine is not equally fast all the time."""
        mine, bare = self._figures.get((agent, work), []), self._figures.get(("none", work), [])
        differences = [figure[key] - without[key] for figure, without in zip(mine, bare)]
        return statistics.median(differences) if differences else None

    def of_rows(self) -> "list[str]":
        others = [agent for agent in self._agents if agent != "none"]
        rows: list[list[str]] = []
        for row in ROWS:
            bare = self.median("none", row, "each")
            if bare is None:
                continue
            unit, scale = ("ns", 1e9) if row in _NANOSECONDS else ("µs", 1e6)
            cells = [f"{row}, {unit}", "" if row in _NANOSECONDS else _number(bare * scale)]
            cells += [
                _number(added * scale) if (added := self.added(a, row, "each")) is not None else "" for a in others
            ]
            rows.append([*cells, self.share(row, "each")])
        head = ["", "without an agent", *[f"{agent} adds" for agent in others], f"{_OURS} : {_MEASURE}"]
        return table(head, rows) if rows else []

    def share(self, work: str, key: str) -> str:
        """What ours adds as a share of what the measure adds."""
        ours, theirs = self.added(_OURS, work, key), self.added(_MEASURE, work, key)
        return "" if ours is None or not theirs else f"{ours / theirs:.2f}"

    def of_memory(self) -> "list[str]":
        rows = [
            [agent, *[_number(self.added(agent, row, "memory")) for row in ("Flask request", "Django request")]]
            for agent in self._agents
            if agent in LASTING and agent != "none"
            if self.added(agent, "Flask request", "memory") is not None
        ]
        return table(["", "Flask, MB", "Django, MB"], rows) if rows else []

    def of_starts(self) -> "list[str]":
        rows = [
            [f"`{' '.join(LAUNCHERS[agent])}`", _number(spent * 1e3), _number(self.added(agent, "start-up", "memory"))]
            for agent in self._agents
            if agent in LAUNCHERS and agent != "none" and (spent := self.added(agent, "start-up", "spent")) is not None
        ]
        return table(["launcher", "added CPU, ms", "added peak memory, MB"], rows) if rows else []

    def of_idling(self) -> "list[str]":
        rows = [
            [agent, f"{spent / IDLE * 1e4:,.2f}"]
            for agent in self._agents
            if (spent := self.median(agent, "idle", "spent")) is not None
        ]
        return table(["", "CPU in 10 s, ms"], rows) if rows else []

    def of_soaks(self) -> "list[str]":
        rows = []
        for agent in self._agents:
            found = self._figures.get((agent, "soak"))
            if found:
                rows.append([agent, *[f"{value:.1f}" for value in found[0]["memory"]]])
        parts = len(rows[0]) - 1 if rows else 0
        return table(["", *[f"{SOAK * part // parts} s" for part in range(1, parts + 1)]], rows) if rows else []


def _number(value: Optional[float]) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return ""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def report(agents: "list[str]", figures: Figures, where: str, seconds: float, rounds: str) -> str:
    """The whole text."""
    made = _Report(agents, figures)
    parts = (
        ("What one operation costs", _COST, made.of_rows()),
        ("Memory", "Peak resident memory that an agent adds to the process.", made.of_memory()),
        (
            "Start-up",
            _START.format(bare=_number((made.median("none", "start-up", "spent") or 0) * 1e3)),
            made.of_starts(),
        ),
        ("Idle", _IDLE, made.of_idling()),
        ("Soak", _SOAK.format(rate=SOAK_RATE), made.of_soaks()),
    )
    lines = ["# Results", "", _HEAD.format(where=where, minutes=seconds / 60, rounds=rounds), ""]
    for title, text, table in parts:
        if table:
            lines += [f"## {title}", "", text, "", *table]
    return "\n".join(lines).rstrip() + "\n"


_HEAD = """\
{where}; one run of {minutes:.0f} minutes on a shared machine. Figures are CPU time of the whole process, user and
system, exporting included, and medians of {rounds}, interleaved. [README.md](README.md) says what is done."""
_COST = """\
Mean CPU time of an operation without an agent, and what each agent adds to it. The last column is what ours adds as
a share of what ddtrace does."""
_START = """\
What the launcher adds to `python -c` of a program that does nothing, which takes {bare} ms by itself."""
_IDLE = """\
CPU time that a process spends which traced one thing and then does nothing. Ours measures the process meanwhile and
sends what it finds every ten seconds."""
_SOAK = "Resident memory in MB while Flask serves {rate} requests a second, each agent in a process of its own."
