"""A real browser, which fails its test on any error; and what assistive technology would stumble over."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from screenshots import CHROMIUM_FLAGS  # noqa: E402


def is_trouble(message: ConsoleMessage) -> bool:
    """Whether a message of the console is an error; the browser reports refused statements there too."""
    is_refused = message.location["url"].endswith("/api/v1/sql") and "status of 400" in message.text
    return message.type == "error" and not is_refused


@pytest.fixture
def page(request: pytest.FixtureRequest) -> "Iterator[Page]":
    """A page that fails its test on any error, and on any request to another origin."""
    if "server" in request.fixturenames:
        # It has to be there until the page is closed, whichever a test names first.
        request.getfixturevalue("server")
    troubles: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS))
        opened = browser.new_page(viewport={"width": 1360, "height": 800})
        opened.set_default_timeout(20_000)
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.on("console", lambda message: troubles.append(message.text) if is_trouble(message) else None)
        opened.on(
            "request",
            lambda request: (
                troubles.append(request.url)
                if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
                else None
            ),
        )
        yield opened
        browser.close()
    assert troubles == []


def axe_findings(page: Page, where: str) -> "list[str]":
    """Serious findings of axe on the page as it is; ``where`` names it."""
    axe = (ROOT / "ui" / "node_modules" / "axe-core" / "axe.min.js").read_text()
    page.evaluate(f"() => {{ {axe} }}")
    result = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
    return [
        f"{where}: {violation['id']}: {node['html']}"
        for violation in result["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
