"""How the flame graph does on a profile of 100,000 nodes, in a real browser; see README.md."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import shapes
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(HERE.parent / "waterfall")]
import frames  # noqa: E402
import server  # noqa: E402
from screenshots import CHROMIUM_FLAGS  # noqa: E402

#: What is aimed at, in milliseconds.
PAINT_AIM, FRAME_AIM = 1_500, 16
#: Notes when the graph is first on the screen.
OBSERVER = """
window.bench = { painted: 0, deltas: [], watching: false };
const note = () => { window.bench.painted = performance.now(); };
const look = () => {
  const canvas = document.querySelector('.flame canvas');
  // A canvas is 300 wide until something is drawn on it.
  if (canvas && canvas.width > 300) requestAnimationFrame(() => setTimeout(note));
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
#: Notes how far frames are apart.
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
#: When the last byte of the profile had arrived.
ARRIVED = "performance.getEntriesByType('resource').find((entry) => entry.name.includes('profiles/merge')).responseEnd"


def open_profile(browser: Browser, url: str) -> "tuple[Page, float, float]":
    """Opens the page; the page, and milliseconds to its first paint from navigation and from the answer."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page.add_init_script(OBSERVER)
    page.goto(url)
    page.wait_for_function("window.bench.painted > 0")
    painted, arrived = page.evaluate(f"[window.bench.painted, {ARRIVED}]")
    return page, painted, painted - arrived


def middle(page: Page) -> "tuple[float, float]":
    """The middle of the graph on the screen."""
    box = page.get_by_test_id("flame-graph").bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def zoom(page: Page) -> None:
    """Zooms in with the wheel, drags to and fro, and zooms out."""
    x, y = middle(page)
    page.mouse.move(x, y)
    page.keyboard.down("Control")
    for step in [-60] * 40:
        page.mouse.wheel(0, step)
    page.keyboard.up("Control")
    page.mouse.down()
    page.mouse.move(x - 400, y, steps=40)
    page.mouse.move(x + 400, y, steps=80)
    page.mouse.up()
    page.keyboard.down("Control")
    for step in [60] * 40:
        page.mouse.wheel(0, step)
    page.keyboard.up("Control")


def scroll(page: Page) -> None:
    """Wheels down the stacks and up again."""
    page.mouse.move(*middle(page))
    for step in [40] * 40 + [-40] * 40:
        page.mouse.wheel(0, step)


def hover(page: Page) -> None:
    """Moves the pointer over the frames: a tooltip each."""
    x, y = middle(page)
    for row in range(6):
        page.mouse.move(x - 400, y - 150 + 50 * row)
        page.mouse.move(x + 400, y - 150 + 50 * row, steps=30)


def walk(page: Page) -> None:
    """Walks with the arrow keys."""
    page.get_by_test_id("flame-graph").focus()
    page.keyboard.press("Home")
    for key in (["ArrowDown"] * 5 + ["ArrowRight"] * 10 + ["Enter"]) * 3:
        page.keyboard.press(key)
    page.keyboard.press("Escape")


def search(page: Page) -> None:
    """Types a search letter by letter."""
    field = page.get_by_label("Find functions")
    field.press_sequentially("render_(cart|order)", delay=20)
    field.fill("")


def row(name: str, values: "list[float]", aim: "float | None" = None) -> str:
    """A row of the table of results."""
    median, p95, most = frames.figures(values)
    over = [sum(value > limit for value in values) for limit in (16.7, 50)]
    return (
        f"| {name} | {len(values)} | {median:.1f} | {p95:.1f} | {most:.1f} | {over[0]} | {over[1]} "
        f"| {'' if aim is None else f'≤ {aim}'} |"
    )


def measure(browser: Browser, url: str, rounds: int, recording: "str | None") -> "list[str]":
    """All measurements as rows of a table."""
    starts: list[tuple[float, float]] = []
    for _ in range(rounds):
        page, *times = open_profile(browser, url)
        starts.append((times[0], times[1]))
        page.close()
    lines = [
        row("first paint, from navigation", [start[0] for start in starts]),
        row("first paint, from the answer's last byte", [start[1] for start in starts], PAINT_AIM),
    ]
    steps: list[tuple[str, Callable[[Page], None]]] = [
        ("zoom and pan", zoom),
        ("scroll", scroll),
        ("hover", hover),
        ("walk", walk),
        ("search", search),
    ]
    for name, step in steps:
        page, *_ = open_profile(browser, url)
        page.wait_for_timeout(500)
        page.evaluate(WATCH)
        browser.start_tracing(page=page, categories=frames.CATEGORIES)
        step(page)
        recorded = browser.stop_tracing()
        if recording:
            Path(f"{recording}-{name.replace(' ', '-')}.json").write_bytes(recorded)
        seen = frames.read(json.loads(recorded)["traceEvents"])
        lines += [
            row(f"{name}: scripting a frame", seen.scripting, FRAME_AIM),
            row(f"{name}: of that, CPU time", seen.scripting_cpu),
            row(f"{name}: main thread a frame", seen.main_thread),
            row(f"{name}: frame to frame", page.evaluate("(window.bench.watching = false, window.bench.deltas)")),
        ]
        page.close()
    return lines


def main() -> int:
    """Measures and writes ``results.md``; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=100_000, help="nodes of the profile (default 100000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the page is opened (default 5)")
    parser.add_argument("--profile", help="write browser traces to files that begin with this")
    parser.add_argument("--no-results", action="store_true", help="only print")
    arguments = parser.parse_args()
    dist = ROOT / "ui" / "dist"
    if not (dist / "index.html").exists():
        print("bench-flame: build the UI first: npm --prefix ui run build", file=sys.stderr)
        return 1
    # What else the machine does shows in the slowest frames.
    busy = os.getloadavg()[0]
    with server.serve(dist, shapes.answers(arguments.nodes)) as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        # Alone, the graph has the whole width.
        lines = measure(browser, f"{base}/profiles?alone=true", arguments.rounds, arguments.profile)
        version = browser.version
        browser.close()
    head = "| milliseconds | n | median | p95 | max | > 16.7 | > 50 | aim (p95) |\n|---|---|---|---|---|---|---|---|\n"
    table = head + "\n".join(lines)
    print(table)
    if not arguments.no_results:
        machine = f"{os.cpu_count()} cores with a load of {busy:.1f} before"
        about = f"{arguments.nodes:,} nodes, Chromium {version}, headless, 1440 by 900, no GPU, {machine}.\n"
        (HERE / "results.md").write_text(f"# Results\n\n{about}\n{table}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
