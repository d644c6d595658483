"""What the benchmarks of pages share: steps that a browser records, and the table of what they took."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import frames
import server
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from screenshots import CHROMIUM_FLAGS  # noqa: E402

#: How far frames are apart is noted from here on.
WATCH = """() => {
  window.bench.watching = true;
  let before = performance.now();
  const tick = (now) => {
    window.bench.deltas.push(now - before);
    before = now;
    if (window.bench.watching) requestAnimationFrame(tick);
  };
  requestAnimationFrame((now) => { before = now; requestAnimationFrame(tick); });
}"""
STOP = "(window.bench.watching = false, window.bench.deltas)"
#: The browser's clock is coarse: a frame of a sixtieth of a second may read 16.8.
LATE, STUCK = 16.9, 50
HEAD = "| milliseconds | n | median | p95 | max | > 16.7 | > 50 | aim (p95) |\n|---|---|---|---|---|---|---|---|\n"

#: A step by its name.
Step = tuple[str, Callable[[Page], None]]


def row(name: str, values: "list[float]", aim: "float | None" = None) -> str:
    """A line of the table."""
    median, p95, highest = frames.figures(values)
    late, stuck = sum(value > LATE for value in values), sum(value > STUCK for value in values)
    held = "" if aim is None else f"≤ {aim:g}"
    return f"| {name} | {len(values)} | {median:.1f} | {p95:.1f} | {highest:.1f} | {late} | {stuck} | {held} |"


def open_page(browser: Browser, url: str, observer: str, arrived: str) -> "tuple[Page, float, float]":
    """Opens the page; the page, and milliseconds to its first paint from navigation and from the answer.

    ``observer`` keeps ``window.bench``, with ``painted`` when it is; ``arrived`` says when the answer's last
    byte had come.
    """
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page.add_init_script(observer)
    page.goto(url)
    page.wait_for_function("window.bench.painted > 0")
    painted, came = page.evaluate(f"[window.bench.painted, {arrived}]")
    return page, painted, painted - came


def paints(opened: "Callable[[], tuple[Page, float, float]]", rounds: int, aim: float) -> "list[str]":
    """The lines of opening the page."""
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        page, *of_page = opened()
        times.append((of_page[0], of_page[1]))
        page.close()
    return [
        row("first paint, from navigation", [painted for painted, _ in times]),
        row("first paint, from the answer's last byte", [after for _, after in times], aim),
    ]


def recorded(
    browser: Browser,
    opened: "Callable[[], tuple[Page, float, float]]",
    steps: "Sequence[Step]",
    aim: float,
    profile: "str | None",
) -> "list[str]":
    """The lines of steps, each on a page of its own while the browser records."""
    lines: list[str] = []
    for name, step in steps:
        page, *_ = opened()
        page.wait_for_timeout(500)
        page.evaluate(WATCH)
        browser.start_tracing(page=page, categories=frames.CATEGORIES)
        step(page)
        events = browser.stop_tracing()
        if profile:
            Path(f"{profile}-{name.replace(' ', '-')}.json").write_bytes(events)
        seen = frames.read(json.loads(events)["traceEvents"])
        lines += [
            row(f"{name}: scripting a frame", seen.scripting, aim),
            row(f"{name}: of that, CPU time", seen.scripting_cpu),
            row(f"{name}: main thread a frame", seen.main_thread),
            row(f"{name}: frame to frame", page.evaluate(STOP)),
        ]
        page.close()
    return lines


def main(
    description: str,
    results: Path,
    sized: "tuple[str, int]",
    answers: "Callable[[int], server.Answer]",
    measure: "Callable[[Browser, str, int, str | None], list[str]]",
) -> int:
    """Measures and writes the results; returns the exit status.

    ``sized`` is what the answer has and how much of it by default, such as ``("spans", 50_000)``.
    """
    what, most = sized
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(f"--{what}", dest="size", type=int, default=most, help=f"how many {what} (default {most})")
    parser.add_argument("--rounds", type=int, default=5, help="how often the page is opened (default 5)")
    parser.add_argument("--profile", help="write browser traces to files that begin with this")
    parser.add_argument("--no-results", action="store_true", help="only print")
    arguments = parser.parse_args()
    dist = ROOT / "ui" / "dist"
    if not (dist / "index.html").exists():
        print("build the UI first: npm --prefix ui run build", file=sys.stderr)
        return 1
    # What else the machine does shows in the slowest frames.
    busy = os.getloadavg()[0]
    with server.serve(dist, answers(arguments.size)) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        table = HEAD + "\n".join(measure(browser, base, arguments.rounds, arguments.profile))
        version = browser.version
        browser.close()
    print(table)
    if not arguments.no_results:
        machine = f"{os.cpu_count()} cores with a load of {busy:.1f} before"
        about = f"{arguments.size:,} {what}, Chromium {version}, headless, 1440 by 900, no GPU, {machine}.\n"
        results.write_text(f"# Results\n\n{about}\n{table}\n")
    return 0
