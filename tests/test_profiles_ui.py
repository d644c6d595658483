"""The page of profiles and the hotspots of a span, in a real browser, on profiles that were posted."""

import json
import re
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser import axe_findings
from conftest import Server, eventually
from profiles import APP, LIBRARY, Frame, Sample, post, pprof

TYPES = [("wall", "nanoseconds"), ("cpu", "nanoseconds")]
RUN: Frame = ("Flask.wsgi_app", f"{LIBRARY}/flask/app.py", 1511)
CREATE: Frame = ("create", f"{APP}/blog.py", 62)
REVIEW: Frame = ("review", f"{APP}/review.py", 20)
SCORE: Frame = ("score", f"{APP}/review.py", 41)
INDEX: Frame = ("index", f"{APP}/blog.py", 18)
POLL: Frame = ("BaseSelector.select", "/usr/lib/python3.12/selectors.py", 468)
SLEEP: Frame = ("sleep", f"{APP}/review.py", 30)
TICK = 10_000_000
MINUS = "\N{MINUS SIGN}"


def shop(count: int, **labels: "str | int") -> "list[Sample]":
    """So many samples of each kind of work: three in ten sleep, two compute, four list, one is idle."""
    create, index = {"endpoint": "POST /create", **labels}, {"endpoint": "GET /", "thread": "worker-2"}
    kinds = [
        *[Sample([RUN, CREATE, REVIEW, SLEEP], [TICK, 0], {"state": "sleep", "thread": "worker-1", **create})] * 3,
        *[Sample([RUN, CREATE, REVIEW, SCORE, SCORE], [TICK, TICK], {"state": "cpu", "thread": "worker-1", **create})]
        * 2,
        *[Sample([RUN, INDEX], [TICK, TICK], {"state": "cpu", **index})] * 4,
        Sample([POLL], [TICK, 0], {"state": "idle", "thread": "MainThread"}),
    ]
    return kinds * count


def frames(page: Page) -> "list[str]":
    """The frames that the graph mirrors for assistive technology."""
    return page.get_by_role("treeitem").all_text_contents()


def open_profiles(page: Page, server: Server, query: str) -> None:
    """Opens the page with what it is to show, without refreshing itself."""
    page.goto(f"{server.url}/profiles?{query}&from=now-1h&to=now")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("note").first).to_contain_text("samples")


def test_without_profiles_the_page_says_how_there_will_be_some(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/profiles")
    expect(page.get_by_test_id("profiles-page")).to_contain_text("No profiles in this time")
    expect(page.get_by_test_id("profiles-page")).to_contain_text(f"{server.otlp}/v1/pprof?service.name=my-app")


def test_where_the_time_goes(page: Page, server: Server) -> None:
    post(server, pprof(TYPES, shop(20), time.time_ns()), service_name="shop", service_version="1")
    open_profiles(page, server, "service=shop&type=wall")
    # What waits for work is left out until it is asked for.
    expect(page.get_by_role("treeitem").first).to_contain_text("all, 1.80 s, 100 %")
    expect(page.get_by_role("note")).to_contain_text("1.80 s in 180 samples")
    expect(page.get_by_role("note")).to_contain_text("200 ms of threads that wait for work are hidden")
    page.keyboard.press("i")
    expect(page.get_by_role("treeitem")).to_contain_text(["all, 2.00 s, 100 %", "BaseSelector.select, 200 ms, 10.0 %"])
    found = frames(page)
    assert "create, 1.00 s, 50.0 %" in found
    assert "sleep, 600 ms, 30.0 %" in found
    expect(page.get_by_text("on the CPU 60.0 %")).to_be_visible()

    # The table sorts by what a function took itself.
    rows = page.get_by_role("table", name="Functions").get_by_role("row")
    expect(rows.nth(1)).to_contain_text("index")
    # Own code only: what the framework took is not there.
    page.get_by_role("button", name="Own code").click()
    expect(page.get_by_role("treeitem").filter(has_text="wsgi_app")).to_have_count(0)
    page.get_by_role("button", name="Own code").click()
    page.get_by_role("button", name="Fold recursion").click()
    expect(page.get_by_role("treeitem").filter(has_text="score")).to_have_count(1)

    page.get_by_label("Find functions").fill("^re|slee")
    expect(page.get_by_text("50.0 % matched")).to_be_visible()
    assert "q=%5Ere%7Cslee" in page.url
    page.get_by_label("Find functions").fill("")

    # By keys: to the review, zoomed, and a function between its callers and callees.
    graph = page.get_by_test_id("flame-graph")
    graph.focus()
    for key in ["ArrowDown"] * 4:
        page.keyboard.press(key)
    walked = page.get_by_role("status").filter(has_text=re.compile("^review, 1.00 s"))
    expect(walked).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    expect(page.get_by_role("treeitem").filter(has_text="index")).to_have_count(0)
    page.get_by_role("button", name="Show all").click()
    expect(page.get_by_role("treeitem").filter(has_text="index")).to_have_count(1)
    page.get_by_role("table", name="Functions").get_by_role("button", name="review").click()
    expect(page.get_by_role("tree", name=re.compile("^Callers of review"))).to_contain_text("create, 1.00 s")
    expect(page.get_by_role("tree", name=re.compile("^What review calls"))).to_contain_text("sleep, 600 ms")

    page.get_by_label("State", exact=True).select_option("sleep")
    expect(page.get_by_role("note")).to_contain_text("600 ms in")
    with page.expect_download() as started:
        page.get_by_label("Export").select_option("collapsed")
    exported = Path(started.value.path()).read_text()
    assert re.search(r"create.*;.*review.*;.*sleep.* 600000000", exported), exported


def test_versions_are_compared(page: Page, server: Server) -> None:
    now = time.time_ns()
    post(server, pprof(TYPES, shop(20), now), service_name="shop", service_version="1")
    slower = [sample for sample in shop(20) if sample.stack[-1] != INDEX]
    post(server, pprof(TYPES, slower, now), service_name="shop", service_version="2")
    open_profiles(page, server, "service=shop&type=wall&version=2&idle=true")
    page.get_by_label("Compare with", exact=True).select_option("version:1")
    expect(page.get_by_role("treeitem").filter(has_text="review")).to_have_text(
        "review, 1.00 s, 83.3 %, +33.3 % against the baseline"
    )
    expect(page.get_by_role("treeitem").filter(has_text="index")).to_have_text(
        f"index, 0 ns, 0 %, {MINUS}40.0 % against the baseline"
    )
    assert "cmp=version%3A1" in page.url


def request(server: Server) -> "tuple[str, str]":
    """Sends a request's span with a statement below it; the ids of its trace and span."""
    trace, root, now = "5a" * 16, "6b" * 8, time.time_ns()
    spans = [
        {"spanId": root, "name": "POST /create", "kind": 2},
        {"spanId": "7c" * 8, "parentSpanId": root, "name": "INSERT post", "kind": 3},
    ]
    times = {"traceId": trace, "startTimeUnixNano": str(now - 500_000_000), "endTimeUnixNano": str(now)}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "flaskr"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [{**span, **times} for span in spans]}]}]}
    posted = urllib.request.Request(
        f"{server.otlp}/v1/traces", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(posted, timeout=10) as response:
        assert response.status == 200
    return trace, root


def test_from_a_span_to_the_line_and_back(page: Page, server: Server) -> None:
    trace, span = request(server)
    labels = {"trace id": trace, "span id": span, "local root span id": span}
    post(server, pprof(TYPES, shop(10, **labels), time.time_ns()), service_name="flaskr")
    eventually(lambda: len(server.spans(trace)) == 2)

    page.goto(f"{server.url}/traces/{trace}?span={span}")
    # One click from the span to the line.
    page.get_by_role("button", name="Hotspots").click()
    hotspots = page.get_by_test_id("hotspots")
    expect(hotspots.get_by_role("table", name="Top functions").get_by_role("row").nth(1)).to_contain_text(
        "sleepflaskr/review.py:30"
    )
    expect(hotspots).to_contain_text("sleeping 300 ms 60.0 %")
    expect(hotspots.get_by_role("treeitem").filter(has_text="create")).to_have_text("create, 500 ms, 100 %")
    page.get_by_test_id("waterfall").focus()
    page.keyboard.press("5")
    expect(page.get_by_role("tree", name=re.compile("^Profile"))).to_contain_text("review, 500 ms, 100 %")
    page.keyboard.press("1")
    expect(page.get_by_test_id("waterfall")).to_be_visible()

    # And from the function to the traces that ran it.
    open_profiles(page, server, "service=flaskr&type=wall&view=table")
    page.get_by_role("button", name="Traces that ran sleep").click()
    link = page.get_by_role("dialog").get_by_role("link")
    expect(link).to_have_count(1)
    link.click()
    expect(page.get_by_test_id("hotspots")).to_contain_text("sleeping 300 ms")


def test_sections_lead_to_their_pages(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/traces?from=now-2d&to=now")
    expect(page.get_by_role("combobox", name="Search traces")).to_be_visible()
    assert urllib.parse.urlsplit(page.url).path == "/search"
    assert "from=now-2d" in page.url
    page.goto(f"{server.url}/services")
    expect(page.get_by_test_id("first-run")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("p")
    expect(page.get_by_test_id("profiles-page")).to_be_visible()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_profiles_are_accessible(page: Page, server: Server, theme: str) -> None:
    now = time.time_ns()
    post(server, pprof(TYPES, shop(20), now), service_name="shop", service_version="1")
    post(server, pprof(TYPES, shop(20)[::3], now), service_name="shop", service_version="2")
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    findings: list[str] = []
    for view in (
        "",
        "view=flame",
        "view=table&cmp=version:1",
        "view=sandwich&fn=" + urllib.parse.quote(f"review@{APP}/review.py"),
    ):
        open_profiles(page, server, f"service=shop&type=wall&version=2&{view}")
        findings += axe_findings(page, view)
    page.get_by_test_id("flame-graph").first.focus()
    page.keyboard.press("m")
    expect(page.get_by_role("menu")).to_be_visible()
    findings += axe_findings(page, "menu")
    assert not findings, json.dumps(findings, indent=1)
