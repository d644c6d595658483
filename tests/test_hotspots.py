"""From a slow request to the line that took its time: the real Flaskr, profiled by the agent, in a real browser."""

from typing import Any

from playwright.sync_api import Page, expect

from conftest import ROOT, House, eventually

APPLICATION = ROOT / "examples" / "flaskr" / "blog_app.py"
#: The line that makes the report slow.
LINE = 1 + next(
    number for number, line in enumerate(APPLICATION.read_text().splitlines()) if "time.sleep(REPORT_SECONDS)" in line
)


def test_from_the_slow_request_to_its_line_in_two_clicks(page: Page, house: House) -> None:
    house.visitor().request("/report")
    (slow,) = eventually(lambda: house.server.traces('service:flaskr name:"GET /report"'))

    def asleep() -> "list[dict[str, Any]]":
        selection = {"type": "wall", "trace_id": slow["trace_id"], "from": "now-15m", "to": "now"}
        answer = house.server.get("profiles/functions", {"selection": selection})
        return [of for of in answer["functions"] if of["fn"].endswith("report") and of["self"] > 0]

    # A profile is sent every ten seconds.
    (report,) = eventually(asleep, 60)
    assert report["file"] == str(APPLICATION)
    # It sleeps for 150 ms; what was sampled of it is about that.
    assert 0.05e9 < report["self"] < 1e9, report

    page.goto(f"{house.server.url}/search?query=service%3Aflaskr+name%3A%22GET+%2Freport%22&order=-duration")
    page.locator("tbody a").first.click()
    page.get_by_role("button", name="Hotspots").click()
    hotspots = page.get_by_test_id("hotspots")
    first = hotspots.get_by_role("table", name="Top functions").get_by_role("row").nth(1)
    expect(first).to_contain_text("report")
    expect(first).to_contain_text(f"blog_app.py:{LINE}")
    expect(hotspots).to_contain_text("sleeping")
