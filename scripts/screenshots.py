"""Takes the pictures of the documentation from a running demo: ``screenshots.py http://127.0.0.1:4390``."""

import json
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
#: Flags for a browser that runs without a display, as root, and stays off the network.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


#: What the picture of the SQL page asks.
STATEMENT = """SELECT name, count(*) AS hits, count(*) FILTER (WHERE is_error) AS failed,
       round(percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ns) / 1e6, 1) AS p95_ms
FROM spans
WHERE service = 'flaskr' AND is_entry
GROUP BY name
ORDER BY p95_ms DESC"""


def slowest_create(base: str) -> str:
    """The id of the slowest trace of Flaskr's create request."""
    body = json.dumps({"query": 'name:"POST /create" is:root', "order": "-duration", "limit": 1}).encode()
    request = urllib.request.Request(f"{base}/api/v1/spans/search", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())["data"][0]["trace_id"]


def main() -> int:
    """Takes all pictures; returns the exit status."""
    base = sys.argv[1].rstrip("/") if len(sys.argv) > 1 else "http://127.0.0.1:4390"
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    trace = slowest_create(base)
    pages = {
        "services": "/?from=now-15m&to=now",
        "service": "/services/flaskr?from=now-15m&to=now",
        "search": "/search?query=service%3Aflaskr&from=now-15m&to=now",
        "explore": "/explore?query=service%3Aflaskr&metric=response_time&agg=p95&split=name&top=5&from=now-15m&to=now",
        "profiles": "/profiles?service=flaskr&type=wall&from=now-15m&to=now",
        "sql": "/sql?from=now-15m&to=now&q=" + urllib.parse.quote(STATEMENT),
        "trace": f"/traces/{trace}",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        for theme in ("dark", "light"):
            page = browser.new_page(viewport={"width": 1360, "height": 800}, color_scheme=theme)
            for name, path in pages.items():
                page.goto(base + path)
                page.wait_for_load_state("networkidle")
                if name == "trace":
                    page.get_by_test_id("waterfall").focus()
                    for _ in range(4):
                        page.keyboard.press("ArrowDown")
                    page.get_by_test_id("span-details").get_by_text("Attributes").wait_for()
                page.wait_for_timeout(400)
                # Of a trace the part that is the same on every machine.
                height = 500 if name == "trace" else 800
                clip = {"x": 0, "y": 0, "width": 1360, "height": height}
                page.screenshot(path=folder / f"{name}-{theme}.png", clip=clip)
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
