"""The pages of memory, exceptions and blocked event loops, and the lines of a function, in a real browser."""

import re
import time

from playwright.sync_api import Page, expect

from conftest import Server
from profiles import APP, Frame, Sample, post, pprof

MAIN: Frame = ("main", f"{APP}/worker.py", 9)
CACHE: Frame = ("Cache.put", f"{APP}/cache.py", 12)
PARSE: Frame = ("parse", f"{APP}/parse.py", 30)
DUMPS: Frame = ("dumps", "/usr/lib/python3.12/json/__init__.py", 231)
MIB = 1 << 20
MINUTE = 60 * 10**9


def open_type(page: Page, server: Server, kind: str, query: str = "") -> None:
    """Opens the profiles of a type, of the last half hour, without refreshing."""
    page.goto(f"{server.url}/profiles?service=shop&type={kind}&from=now-30m&to=now{query}")
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("note").first).to_contain_text("samples")


def heap(server: Server, minutes_ago: int, cached: int) -> None:
    """What a process holds at a moment."""
    samples = [Sample([MAIN, CACHE], [cached * MIB]), Sample([MAIN], [4 * MIB])]
    end_ns = time.time_ns() - minutes_ago * MINUTE
    post(
        server,
        pprof([("inuse_space", "bytes")], samples, end_ns),
        service_name="shop",
        service_instance_id="worker-1",
    )


def test_what_is_held_is_not_added_up_and_its_growth_is_one_step_away(page: Page, server: Server) -> None:
    for minutes_ago, cached in ((40, 8), (20, 16), (10, 24), (1, 32)):
        heap(server, minutes_ago, cached)
    open_type(page, server, "inuse_space")
    expect(page.get_by_role("treeitem").first).to_have_text("all, 36.0 MiB, 100 %")
    kinds = page.get_by_label("Kind of profile")
    expect(kinds.locator("optgroup")).to_have_count(1)
    expect(kinds.locator("option:checked")).to_have_text("Live heap")
    page.get_by_role("button", name="Growth").click()
    expect(page.get_by_role("treeitem").filter(has_text="Cache.put")).to_have_text(
        "Cache.put, 32.0 MiB, 88.9 %, +24.0 MiB against the baseline"
    )
    row = page.get_by_role("table", name="Functions").get_by_role("row").filter(has_text="Cache.put")
    expect(row).to_contain_text("+24.0 MiB")
    page.keyboard.press("d")
    expect(page.get_by_role("treeitem").filter(has_text="against")).to_have_count(0)


def test_exceptions_by_type_lead_to_where_they_are_raised(page: Page, server: Server) -> None:
    samples = [
        Sample([MAIN, PARSE], [30], {"exception": "ValueError"}),
        Sample([MAIN, CACHE], [10], {"exception": "KeyError"}),
    ]
    post(server, pprof([("exceptions", "count")], samples, time.time_ns()), service_name="shop")
    open_type(page, server, "exceptions")
    table = page.get_by_role("table", name="Exceptions by type")
    expect(table.get_by_role("row").nth(1)).to_contain_text(re.compile(r"ValueError.*30.*75"))
    table.get_by_role("button", name="KeyError").click()
    expect(page.get_by_role("treeitem")).to_contain_text(["all, 10", "main, 10", "Cache.put, 10"])
    expect(page.get_by_label("Exception", exact=True)).to_have_value("KeyError")


def test_what_blocked_the_loop_longest_comes_first(page: Page, server: Server) -> None:
    now = time.time_ns()

    def block(stack: "list[Frame]", milliseconds: int, ago: int) -> Sample:
        return Sample(stack, [milliseconds * 1_000_000], {"end_timestamp_ns": now - ago * MINUTE})

    samples = [*(block([MAIN, CACHE], 40, ago) for ago in range(5)), block([MAIN, PARSE, DUMPS], 150, 2)]
    post(server, pprof([("loop_block", "nanoseconds")], samples, now), service_name="shop")
    open_type(page, server, "loop_block")
    rows = page.get_by_role("table", name=re.compile("^Event loop blocked")).get_by_role("row")
    expect(rows.nth(1)).to_contain_text(re.compile(r"parse.*dumps.*150 ms.*150 ms.*1$"))
    expect(rows.nth(2)).to_contain_text(re.compile(r"Cache\.put.*its own work.*40\.0 ms.*200 ms.*5$"))
    rows.nth(1).get_by_role("button", name="parse").click()
    expect(page.get_by_role("tree", name=re.compile("^Callers of parse"))).to_contain_text("main")


def test_a_function_tells_which_of_its_lines_take_the_time(page: Page, server: Server) -> None:
    def at(line: int) -> Frame:
        return (PARSE[0], PARSE[1], line)

    tick = 10_000_000
    samples = [
        *[Sample([MAIN, at(31)], [tick])] * 60,
        *[Sample([MAIN, at(33), DUMPS], [tick])] * 30,
        *[Sample([MAIN], [tick])] * 10,
    ]
    post(server, pprof([("cpu", "nanoseconds")], samples, time.time_ns()), service_name="shop")
    open_type(page, server, "cpu")
    page.get_by_role("table", name="Functions").get_by_role("button", name="parse").click()
    rows = page.get_by_role("table", name="Lines of parse").get_by_role("row")
    expect(rows.nth(1)).to_contain_text(re.compile(r"^31.*600 ms.*600 ms.*60\.0 %.*66\.7 %.*60$"))
    expect(rows.nth(2)).to_contain_text(re.compile(r"^33.*300 ms.*30\.0 %.*33\.3 %.*30$"))
    expect(rows.nth(1).get_by_role("link")).to_have_attribute("href", f"vscode://file{PARSE[1]}:31")
    expect(page.get_by_text("their text is not on the server")).to_be_visible()
