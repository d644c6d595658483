"""The page that ``pitviper profile`` writes, in a real browser, from a file."""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from screenshots import CHROMIUM_FLAGS

PROGRAM = """
import json, time

def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        json.dumps(list(range(100)))

def first():
    busy(0.3)

def second():
    busy(0.3)

first()
second()
"""


def test_the_page_of_a_profile(services: Path, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    python = services / "python"
    command = [python, "-m", "pitviper", "profile", "-o", "job.html", "--", python, "job.py"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    troubles: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        page = browser.new_page(viewport={"width": 1360, "height": 800})
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: troubles.append(request.url) if request.url.startswith("http") else None)
        page.goto((tmp_path / "job.html").as_uri())

        # CPU time comes first, and all of the program's is in the table.
        rows = page.locator("#rows")
        expect(rows).to_contain_text("busy")
        expect(page.locator("#status")).to_contain_text("in all")
        page.get_by_label("Search functions and files").fill("first")
        expect(page.locator("#found")).to_contain_text("% matched")
        expect(rows.get_by_role("row")).to_have_count(1)

        # The module's box lies below that of all; what is clicked fills the page.
        box = page.locator("#flame").bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 4, box["y"] + 30)
        expect(page.locator("#status")).to_contain_text("<module>")
        reset = page.get_by_role("button", name="Whole profile")
        expect(reset).to_be_enabled()
        reset.click()
        expect(reset).to_be_disabled()

        page.get_by_label("Type").select_option(label="wall (nanoseconds)")
        expect(page.locator("#status")).to_contain_text("in all")
        browser.close()
    assert troubles == []
