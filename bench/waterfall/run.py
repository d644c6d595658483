"""How the waterfall does on a trace of 50,000 spans, in a real browser; see README.md."""

import sys
from pathlib import Path
from typing import Any

import generate
import recording
import server
from playwright.sync_api import Browser, Page

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
#: Whether the last row is on the screen.
BOTTOM = """() => {
  const { scrollTop, clientHeight, scrollHeight } = document.querySelector('.waterfall');
  return scrollTop + clientHeight >= scrollHeight - 1;
}"""
#: When the last byte of the trace had arrived.
ARRIVED = "performance.getEntriesByType('resource').find((entry) => entry.name.includes('/api/v1/traces/')).responseEnd"


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


STEPS = [("scroll", scroll), ("zoom and pan", zoom), ("walk", walk)]


def measure(browser: Browser, base: str, rounds: int, profile: "str | None") -> "list[str]":
    """All lines of the table."""
    url = f"{base}/traces/{generate.TRACE_ID}"

    def opened() -> "tuple[Page, float, float]":
        return recording.open_page(browser, url, OBSERVER, ARRIVED)

    lines = recording.paints(opened, rounds, PAINT_AIM)
    lines += recording.recorded(browser, opened, STEPS, FRAME_AIM, profile)
    page, *_ = opened()
    waterfall = page.get_by_test_id("waterfall")
    waterfall.focus()
    page.keyboard.press("Home")
    page.get_by_test_id("span-details").get_by_text("Process").wait_for()
    for name, pressed in (("collapse and expand the root", "ArrowLeft ArrowRight"), ("collapse and expand all", "[ ]")):
        lines.append(recording.row(f"{name}: key to paint", keys(page, pressed, rounds), COLLAPSE_AIM))
    page.close()
    return lines


def answers(spans: int) -> server.Answer:
    """What the server answers about a trace of so many spans."""
    trace: dict[str, Any] = generate.trace(spans)
    return server.trace_answers(trace)


if __name__ == "__main__":
    sys.exit(recording.main(__doc__, HERE / "results.md", ("spans", 50_000), answers, measure))
