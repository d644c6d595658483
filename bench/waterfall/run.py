"""How the waterfall does on a trace of 50,000 spans, in a real browser; see README.md."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import frames
import generate
import server
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from screenshots import CHROMIUM_FLAGS  # noqa: E402

HERE = Path(__file__).resolve().parent
#: Rows are 24 pixels high; one wheel event goes this many pixels.
WHEEL = 4_800
#: What is aimed at, in milliseconds.
PAINT_AIM, FRAME_AIM, COLLAPSE_AIM = 1_500, 8, 100

#: Notes when the waterfall is first on the screen, and, for each key, when what it changed is.
OBSERVER = """
window.bench = { painted: 0, keys: [], deltas: [], watching: false };
const afterPaint = (then) => requestAnimationFrame(() => {
  const channel = new MessageChannel();
  channel.port1.onmessage = () => then(performance.now());
  channel.port2.postMessage(0);
});
const look = () => {
  const canvas = document.querySelector('.waterfall canvas');
  // A canvas is 300 wide until something is drawn on it.
  if (canvas && canvas.width > 300) afterPaint((now) => { window.bench.painted = now; });
  else requestAnimationFrame(look);
};
requestAnimationFrame(look);
addEventListener('keydown', (event) => {
  const { timeStamp } = event;
  afterPaint((now) => window.bench.keys.push(now - timeStamp));
}, true);
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
#: Whether the last row is on the screen.
BOTTOM = """() => {
  const { scrollTop, clientHeight, scrollHeight } = document.querySelector('.waterfall');
  return scrollTop + clientHeight >= scrollHeight - 1;
}"""
#: When the last byte of the trace had arrived.
ARRIVED = "performance.getEntriesByType('resource').find((entry) => entry.name.includes('/api/v1/traces/')).responseEnd"


def open_trace(browser: Browser, url: str) -> "tuple[Page, float, float]":
    """Opens the trace; the page, and milliseconds to its first paint from navigation and from the answer."""
    page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page.add_init_script(OBSERVER)
    page.goto(url)
    page.wait_for_function("window.bench.painted > 0")
    painted, arrived = page.evaluate(f"[window.bench.painted, {ARRIVED}]")
    return page, painted, painted - arrived


def scroll(page: Page) -> None:
    """Wheels from the top to the bottom."""
    page.mouse.move(900, 500)
    at, height = 0, page.evaluate("document.querySelector('.waterfall').scrollHeight")
    while at < height:
        page.mouse.wheel(0, WHEEL)
        at += WHEEL
    page.wait_for_function(BOTTOM)


def zoom(page: Page) -> None:
    """Zooms in and out by keys, pans, and chooses a time on the minimap and on the bars."""
    page.get_by_test_id("waterfall").focus()
    for key in "+" * 8 + "dddd" + "aaaa" + "-" * 8:
        page.keyboard.press(key)
        page.wait_for_timeout(20)
    box = page.get_by_test_id("waterfall").bounding_box()
    assert box is not None
    for y in (20, 400):
        page.mouse.move(box["x"] + 600, box["y"] + y)
        page.mouse.down()
        page.mouse.move(box["x"] + 900, box["y"] + y, steps=40)
        page.mouse.up()
    page.keyboard.press("0")


def walk(page: Page) -> None:
    """Selects one row after the other; each fetches its details."""
    page.get_by_test_id("waterfall").focus()
    for _ in range(40):
        page.keyboard.press("ArrowDown")
        page.wait_for_timeout(20)


def keys(page: Page, pressed: str, times: int) -> "list[float]":
    """Presses two keys in turn; milliseconds from each press to its paint."""
    page.evaluate("window.bench.keys.length = 0")
    for count in range(1, times + 1):
        for offset, key in enumerate(pressed.split(), 1):
            page.keyboard.press(key)
            page.wait_for_function(f"window.bench.keys.length === {2 * (count - 1) + offset}")
    return page.evaluate("window.bench.keys")


def row(name: str, values: "list[float]", aim: "float | None" = None) -> str:
    """A line of the table."""
    median, p95, highest = frames.figures(values)
    # The browser's clock is coarse: a frame of a sixtieth of a second may read 16.8.
    slow, stuck = sum(value > 16.9 for value in values), sum(value > 50 for value in values)
    held = "" if aim is None else f"≤ {aim:g}"
    return f"| {name} | {len(values)} | {median:.1f} | {p95:.1f} | {highest:.1f} | {slow} | {stuck} | {held} |"


def measure(browser: Browser, url: str, rounds: int, profile: "str | None") -> "list[str]":
    """All lines of the table."""
    opened = []
    for _ in range(rounds):
        page, *times = open_trace(browser, url)
        opened.append(times)
        page.close()
    lines = [
        row("first paint, from navigation", [painted for painted, _ in opened]),
        row("first paint, from the answer's last byte", [after for _, after in opened], PAINT_AIM),
    ]
    steps: list[tuple[str, Callable[[Page], None]]] = [("scroll", scroll), ("zoom and pan", zoom), ("walk", walk)]
    for name, step in steps:
        page, *_ = open_trace(browser, url)
        page.wait_for_timeout(500)
        page.evaluate(WATCH)
        browser.start_tracing(page=page, categories=frames.CATEGORIES)
        step(page)
        recorded = browser.stop_tracing()
        if profile:
            Path(f"{profile}-{name.replace(' ', '-')}.json").write_bytes(recorded)
        seen = frames.read(json.loads(recorded)["traceEvents"])
        lines += [
            row(f"{name}: scripting a frame", seen.scripting, FRAME_AIM),
            row(f"{name}: of that, CPU time", seen.scripting_cpu),
            row(f"{name}: main thread a frame", seen.main_thread),
            row(f"{name}: frame to frame", page.evaluate("(window.bench.watching = false, window.bench.deltas)")),
        ]
        page.close()
    page, *_ = open_trace(browser, url)
    waterfall = page.get_by_test_id("waterfall")
    waterfall.focus()
    page.keyboard.press("Home")
    page.get_by_test_id("span-details").get_by_text("Process").wait_for()
    for name, pressed in (("collapse and expand the root", "ArrowLeft ArrowRight"), ("collapse and expand all", "[ ]")):
        lines.append(row(f"{name}: key to paint", keys(page, pressed, rounds), COLLAPSE_AIM))
    page.close()
    return lines


def main() -> int:
    """Measures and writes ``results.md``; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=50_000, help="spans of the trace (default 50000)")
    parser.add_argument("--rounds", type=int, default=5, help="how often the trace is opened and collapsed (default 5)")
    parser.add_argument("--profile", help="write browser traces to files that begin with this")
    parser.add_argument("--no-results", action="store_true", help="only print")
    arguments = parser.parse_args()
    dist = ROOT / "ui" / "dist"
    if not (dist / "index.html").exists():
        print("bench-waterfall: build the UI first: npm --prefix ui run build", file=sys.stderr)
        return 1
    # What else the machine does shows in the slowest frames.
    busy = os.getloadavg()[0]
    with (
        server.serve(dist, server.trace_answers(generate.trace(arguments.spans))) as base,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        url = f"{base}/traces/{generate.TRACE_ID}"
        lines = measure(browser, url, arguments.rounds, arguments.profile)
        version = browser.version
        browser.close()
    table = "\n".join(
        [
            "| milliseconds | n | median | p95 | max | > 16.7 | > 50 | aim (p95) |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )
    print(table)
    if not arguments.no_results:
        machine = f"{os.cpu_count()} cores with a load of {busy:.1f} before"
        about = f"{arguments.spans:,} spans, Chromium {version}, headless, 1440 by 900, no GPU, {machine}.\n"
        (HERE / "results.md").write_text(f"# Results\n\n{about}\n{table}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
