"""The pages, in a real browser, on real data."""

import re
import urllib.parse
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import axe_findings
from conftest import House, Server, eventually


def test_first_run_waits_and_flips_by_itself(page: Page, server: Server, tmp_path: Path, services: Path) -> None:
    page.goto(server.url)
    first_run = page.get_by_test_id("first-run")
    expect(first_run).to_contain_text("pip install pitviper")
    expect(first_run).to_contain_text(server.otlp.removeprefix("http://"))
    expect(first_run).to_contain_text("Waiting for the first span")
    house = House(server, tmp_path, services)
    try:
        house.start()
        house.visitor()
        expect(page.get_by_role("table", name="Services")).to_contain_text("flaskr")
    finally:
        house.processes.stop()


def test_from_the_services_to_the_statement(page: Page, house: House) -> None:
    house.load(40)
    house.visitor().request("/create", {"title": "x", "body": "y"})
    page.wait_for_timeout(1_500)
    page.goto(house.server.url)
    page.get_by_role("table", name="Services").get_by_role("row", name="flaskr").click()

    expect(page.get_by_test_id("service-page").get_by_role("heading", name="flaskr")).to_be_visible()
    for chart in ("Response time", "Failure rate", "Throughput"):
        expect(page.get_by_role("img", name=f"{chart} over time")).to_be_visible()
    page.get_by_role("table", name="Operations").get_by_role("row", name="POST /create").click()

    results = page.get_by_role("table", name="Traces")
    expect(page.get_by_role("combobox", name="Search traces")).to_have_value('service:flaskr name:"POST /create"')
    results.get_by_role("row", name="POST /create").first.click()

    spans = page.get_by_role("treegrid", name="Spans")
    expect(spans).to_contain_text("INSERT INTO post (title, body, author_id) VALUES (?)")
    expect(spans).to_contain_text("notification_app.notify")
    waterfall = page.get_by_test_id("waterfall")
    waterfall.focus()
    page.keyboard.press("Home")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    details = page.get_by_test_id("span-details")
    expect(details).to_contain_text("INSERT post")
    expect(details).to_contain_text("db.system.name")
    page.reload()
    expect(page.get_by_test_id("span-details")).to_contain_text("INSERT post")
    waterfall.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(spans.get_by_role("row")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()


def test_mistakes_are_shown_where_they_are(page: Page, house: House) -> None:
    house.visitor()
    page.wait_for_timeout(1_500)
    page.goto(f"{house.server.url}/search")
    box = page.get_by_role("combobox", name="Search traces")
    expect(page.get_by_role("table", name="Traces")).to_be_visible()
    expect(page.get_by_test_id("search-state")).to_have_text(re.compile(r"^\d+\+? traces? · (<1|[\d.]+) (ms|s)$"))
    box.fill("service:nowhere")
    box.press("Enter")
    expect(page.get_by_text("No trace matches")).to_be_visible()
    box.fill("is:rot status:eror")
    expect(page.get_by_text("use is:root, is:entry or is:error")).to_be_visible()
    expect(page.get_by_text("use ok, error or unset")).to_be_visible()
    box.press("Alt+Enter")
    expect(box).to_have_value("is:root status:eror")
    expect(page.get_by_text("use is:root")).to_be_hidden()
    box.press("Alt+Enter")
    expect(box).to_have_value("is:root status:error")
    box.press("Control+z")
    expect(box).to_have_value("is:root status:eror")
    trace_id = house.server.traces("is:root")[0]["trace_id"]
    box.fill(trace_id)
    box.press("Enter")
    expect(page.get_by_test_id("trace-page")).to_contain_text(trace_id)


def test_a_search_is_told_while_it_runs(page: Page, house: House) -> None:
    house.load(20)
    page.wait_for_timeout(1_500)
    told: list[str] = []
    page.on(
        "response",
        lambda answer: told.append(answer.headers["content-type"]) if answer.url.endswith("/spans/search") else None,
    )
    page.goto(f"{house.server.url}/search?query=service%3Aflaskr&from=now-15m&to=now")
    page.get_by_role("button", name="Live").click()
    rows = page.get_by_role("table", name="Traces").locator("tbody a")
    expect(rows.first).to_be_visible()
    found = house.server.get("spans/search", {"query": "service:flaskr", "from": "now-15m", "limit": 100})
    names = [trace["root"]["name"] for trace in found if trace["root"]]
    expect(rows.first).to_have_text(names[0])
    assert set(told) == {"application/x-ndjson"}
    # What relates spans is told and counted as well.
    box = page.get_by_role("combobox", name="Search traces")
    box.fill("{service:flaskr kind:server} >> {db.system.name:*}")
    box.press("Enter")
    expect(page.get_by_test_id("search-state")).to_have_text(re.compile(r"^\d+\+? traces? · "))
    region = page.get_by_role("region", name="Latency")
    counted = house.server.get(
        "heatmap", {"query": "{service:flaskr kind:server} >> {db.system.name:*}", "from": "now-15m"}
    )["total"]
    assert counted > 0
    expect(region).to_contain_text(f"{counted} spans" if counted < 10_000 else " spans")


def test_a_query_is_written_with_help(page: Page, house: House) -> None:
    house.load(20)
    page.wait_for_timeout(1_500)
    page.goto(f"{house.server.url}/search")
    expect(page.get_by_role("table", name="Traces")).to_be_visible()
    box = page.get_by_role("combobox", name="Search traces")
    page.keyboard.press("/")
    expect(box).to_be_focused()
    page.keyboard.type("serv")
    expect(page.get_by_role("option", name="service:").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(box).to_have_value("service:")
    page.keyboard.type("flas")
    expect(page.get_by_role("option", name="flaskr")).to_be_visible()
    page.keyboard.press("Tab")
    expect(box).to_have_value("service:flaskr ")
    page.keyboard.type("is:root")
    page.keyboard.press("Enter")
    expect(page).to_have_title("service:flaskr is:root · Traces · Pitviper")

    terms = page.get_by_role("list", name="Terms of the query")
    expect(terms.get_by_role("listitem")).to_have_count(2)
    terms.get_by_role("button", name="Turn around is:root").click()
    expect(box).to_have_value("service:flaskr -is:root")
    terms.get_by_role("button", name="Remove -is:root").click()
    expect(box).to_have_value("service:flaskr")
    page.go_back()
    expect(box).to_have_value("service:flaskr -is:root")

    fields = page.get_by_role("complementary", name="Fields")
    chosen = fields.get_by_role("button", name="flaskr", pressed=True)
    expect(chosen).to_be_visible()
    chosen.click()
    expect(box).to_have_value("-is:root")
    fields.get_by_role("button", name="Without service:flaskr").click()
    expect(box).to_have_value("-is:root -service:flaskr")


def test_a_box_in_the_heatmap_narrows_the_search(page: Page, house: House) -> None:
    house.load(40)
    page.wait_for_timeout(1_500)
    page.goto(f"{house.server.url}/search?query=service%3Aflaskr&from=now-15m&to=now")
    heatmap = page.get_by_test_id("heatmap")
    expect(heatmap).to_be_visible()
    box = page.get_by_role("combobox", name="Search traces")
    found = house.server.get("heatmap", {"query": "service:flaskr", "from": "now-15m"})["total"]
    expect(page.get_by_role("region", name="Latency")).to_contain_text(f"{found} spans")

    heatmap.focus()
    page.keyboard.press("ArrowUp")
    cell = heatmap.get_by_role("status")
    expect(cell).to_contain_text(" spans")
    spans = int(cell.inner_text().split(", ")[2].split()[0])
    page.keyboard.press("Enter")
    expect(box).to_have_value(re.compile(r"^service:flaskr duration:\[\S+ TO \S+\]$"))
    narrowed = page.url
    assert "from=now-15m" not in narrowed
    # A cell has a time and durations; the figures of both are rounded outwards by a little.
    again = int(page.get_by_role("region", name="Latency").get_by_role("status").first.inner_text().split()[0])
    assert again >= 0.9 * spans
    page.go_back()
    expect(box).to_have_value("service:flaskr")

    place = heatmap.bounding_box()
    assert place is not None
    page.mouse.move(place["x"] + place["width"] * 0.5, place["y"] + 40)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] - 12, place["y"] + 42, steps=5)
    page.mouse.up()
    page.wait_for_url(lambda url: "now-15m" not in url)
    expect(box).to_have_value("service:flaskr")
    expect(page.get_by_role("table", name="Traces")).to_contain_text("flaskr")


def test_the_slow_requests_of_a_service_are_a_drag_away(page: Page, house: House) -> None:
    house.load(40)
    page.wait_for_timeout(1_500)
    page.goto(f"{house.server.url}/services/flaskr?from=now-15m&to=now")
    heatmap = page.get_by_test_id("heatmap")
    heatmap.scroll_into_view_if_needed()
    expect(page.get_by_role("region", name="Latency")).to_contain_text("requests")
    place = heatmap.bounding_box()
    assert place is not None
    x = place["x"] + place["width"] * 0.6
    page.mouse.move(x, place["y"] + 60)
    page.mouse.down()
    page.mouse.move(x + 2, place["y"] + 2, steps=5)
    page.mouse.up()
    box = page.get_by_role("combobox", name="Search traces")
    expect(box).to_have_value(re.compile(r"^service:flaskr is:entry duration:>=\S+$"))
    assert "from=now-15m" in page.url


def test_figures_are_explored(page: Page, house: House) -> None:
    house.load(40)
    page.wait_for_timeout(1_500)
    page.goto(f"{house.server.url}/search?query=service%3Aflaskr&from=now-15m&to=now")
    page.get_by_role("link", name="Explore this").click()
    expect(page.get_by_test_id("explore-page")).to_be_visible()
    expect(page.get_by_role("combobox", name="Which spans")).to_have_value("service:flaskr")
    expect(page.get_by_role("heading", name="Duration, p95")).to_be_visible()

    split = page.get_by_role("combobox", name="Split by a field")
    split.fill("name")
    split.press("Enter")
    series = page.get_by_role("table", name="Series")
    expect(series.get_by_role("link", name="POST /create")).to_be_visible()
    page.get_by_role("combobox", name="Metric").select_option("count")
    expect(page.get_by_role("combobox", name="Aggregation")).to_be_hidden()
    expect(page.get_by_role("heading", name="Count by name")).to_be_visible()
    counted = house.server.get(
        "aggregate", {"query": "service:flaskr", "metric": "count", "split": ["name"], "from": "now-15m"}
    )
    first = counted["series"][0]
    expect(series.get_by_role("row").nth(1)).to_contain_text(first["labels"]["name"])
    expect(series.get_by_role("row").nth(1)).to_contain_text(str(first["n"]))

    series.get_by_role("button", name="name").click()
    series.get_by_role("checkbox", name="Show POST /create").uncheck()
    page.reload()
    expect(series.get_by_role("checkbox", name="Show POST /create")).not_to_be_checked()
    names = series.locator("tbody td.value").all_inner_texts()
    assert names == sorted(names)
    series.get_by_role("button", name="Only POST /create").click()
    expect(series.get_by_role("checkbox", checked=True)).to_have_count(1)
    expect(page.locator(".exemplar").first).to_be_visible()
    page.locator(".exemplar").first.click()
    expect(page.get_by_test_id("trace-page")).to_be_visible()
    page.go_back()
    series.get_by_role("link", name="POST /create").click()
    expect(page.get_by_role("combobox", name="Search traces")).to_have_value('service:flaskr name:"POST /create"')


def test_statements_are_run(page: Page, house: House) -> None:
    house.load(20)
    page.wait_for_timeout(1_500)
    page.goto(house.server.url)
    page.get_by_role("heading", name="Services").click()
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.get_by_role("button", name="The slowest request of each operation").click()
    rows = page.get_by_role("table", name="Result")
    expect(rows.get_by_role("row", name="POST /create")).to_be_visible()

    statement = page.get_by_role("textbox", name="Statement")
    statement.fill("SELECT nme, count(*) AS hits\nFROM spans GROUP BY name")
    statement.press("Control+Enter")
    expect(page.get_by_text("Line 1, column 8: there is no column `nme`")).to_be_visible()
    expect(statement).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Write name").click()
    statement.press("Control+Enter")
    expect(rows.get_by_role("columnheader", name="hits")).to_be_visible()
    counted = house.server.get("sql", {"query": "SELECT count(DISTINCT name) FROM spans"})["rows"][0][0]
    expect(page.get_by_text(f"{counted} rows in")).to_be_visible()

    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "name,hits" and len(lines) == counted + 1
    page.get_by_role("complementary", name="Views").get_by_role("button", name="trace_id text").first.click()
    expect(statement).to_have_value(re.compile("trace_id"))
    page.reload()
    expect(rows.get_by_role("columnheader", name="hits")).to_be_visible()


def test_keys_and_themes(page: Page, house: House) -> None:
    house.visitor()
    page.wait_for_timeout(1_500)
    page.goto(house.server.url)
    expect(page.get_by_role("table", name="Services")).to_be_visible()
    page.get_by_test_id("theme").select_option("dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.get_by_test_id("theme").select_option("light")
    page.get_by_role("heading", name="Services").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("service-page")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.get_by_test_id("search-page")).to_be_visible()
    page.get_by_test_id("time-picker").click()
    page.get_by_role("textbox", name="Time range").fill("2h")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("time-picker")).to_have_text("last 2h")
    assert "from=now-2h" in page.url


#: What the page of SQL shows.
CREATED = "SELECT * FROM spans WHERE name = 'POST /create'"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_pages_are_accessible(page: Page, house: House, theme: str) -> None:
    house.load(20)
    house.visitor().request("/broken", expected=500)
    created = eventually(lambda: house.server.traces('name:"POST /create" is:root'))[0]["trace_id"]
    failed = eventually(lambda: house.server.traces("service:flaskr status:error"))[0]["trace_id"]
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    findings: list[str] = []
    for path, shown, text in (
        ("/", page.get_by_role("table", name="Services"), "flaskr"),
        ("/services/flaskr", page.get_by_role("table", name="Operations"), "POST /create"),
        ("/search?query=service%3Aflaskr", page.get_by_role("table", name="Traces"), "POST /create"),
        ("/explore?query=service%3Aflaskr&split=name", page.get_by_role("table", name="Series"), "POST /create"),
        ("/sql", page.get_by_role("region", name="Examples"), "The slowest operations"),
        # What comes first in an answer without an order is nobody's promise.
        (f"/sql?q={urllib.parse.quote(CREATED)}", page.get_by_role("table", name="Result"), "POST /create"),
        (f"/traces/{created}", page.get_by_role("treegrid", name="Spans"), "INSERT post"),
        (f"/traces/{failed}", page.get_by_role("treegrid", name="Spans"), "GET /broken"),
    ):
        page.goto(house.server.url + path)
        expect(shown).to_contain_text(text)
        if path.startswith("/traces"):
            page.get_by_test_id("waterfall").focus()
            page.keyboard.press("Home")
            expect(page.get_by_test_id("span-details")).to_be_visible()
        findings += axe_findings(page, path)
    assert not findings, "\n".join(findings)
