"""How the flame graph does on a profile of 100,000 nodes, in a real browser; see README.md."""

import sys
from pathlib import Path

import shapes
from playwright.sync_api import Browser, Page

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "waterfall"))
import recording  # noqa: E402

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
#: When the last byte of the profile had arrived.
ARRIVED = "performance.getEntriesByType('resource').find((entry) => entry.name.includes('profiles/merge')).responseEnd"


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


STEPS = [("zoom and pan", zoom), ("scroll", scroll), ("hover", hover), ("walk", walk), ("search", search)]


def measure(browser: Browser, base: str, rounds: int, profile: "str | None") -> "list[str]":
    """All lines of the table."""
    # Alone, the graph has the whole width.
    url = f"{base}/profiles?alone=true"

    def opened() -> "tuple[Page, float, float]":
        return recording.open_page(browser, url, OBSERVER, ARRIVED)

    return recording.paints(opened, rounds, PAINT_AIM) + recording.recorded(browser, opened, STEPS, FRAME_AIM, profile)


if __name__ == "__main__":
    sys.exit(recording.main(__doc__, HERE / "results.md", ("nodes", 100_000), shapes.answers, measure))
