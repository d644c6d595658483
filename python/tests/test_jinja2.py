"""Jinja2: rendered at once, piece by piece, and asynchronously."""

import asyncio
import inspect

import jinja2
import pytest
from sink import tree

from pitviper import _native, tracer

SOURCE = "{% for item in items %}{{ work(item) }},{% endfor %}"


def template(is_async=False):
    loader = jinja2.DictLoader({"list.txt": "{% include 'items.txt' %}", "items.txt": SOURCE})
    environment = jinja2.Environment(loader=loader, enable_async=is_async)
    with_items = environment.get_template("list.txt")
    environment.get_template("items.txt")
    return with_items


def work(item):
    with tracer.start_as_current_span(f"work {item}"):
        return 1 // item


def rendered(spans):
    return [node for node in tree(spans) if not node[0].startswith("internal compile")]


WHOLE = [["internal render list.txt", ["internal work 1"], ["internal work 2"]]]


def test_a_stream_lasts_from_its_first_piece_to_its_last(agent):
    pieces = template().generate(items=[1, 2], work=work)
    assert _native.current_span() is None
    for piece in pieces:
        assert piece and _native.current_span() is None
    assert rendered(agent()) == WHOLE


def test_a_stream_that_nobody_reads_to_its_end_ends(agent):
    pieces = template().generate(items=[1, 2], work=work)
    next(pieces)
    pieces.close()
    unread = template().generate(items=[1, 2], work=work)
    unread.close()
    spans = agent()
    assert rendered(spans) == [["internal render list.txt", ["internal work 1"]]]
    assert [span.status for span in spans if span.name == "render list.txt"] == ["unset"]


def test_a_stream_that_fails_says_so(agent):
    with pytest.raises(ZeroDivisionError):
        list(template().stream(items=[1, 0], work=work))
    (span,) = [span for span in agent() if span.name == "render list.txt"]
    assert (span.status, span.attributes["template.name"]) == ("error", "list.txt")
    assert span.scope == "pitviper.jinja2"


async def _render_async():
    assert await template(True).render_async(items=[1, 2], work=work) == "1,0,"


async def _generate_async():
    async for piece in template(True).generate_async(items=[1, 2], work=work):
        assert piece and _native.current_span() is None


def _render():
    assert template(True).render(items=[1, 2], work=work) == "1,0,"


def _generate():
    assert "".join(template(True).generate(items=[1, 2], work=work)) == "1,0,"


@pytest.mark.parametrize("how", [_render_async, _generate_async, _render, _generate])
def test_an_asynchronous_template_has_one_span(agent, how):
    if inspect.iscoroutinefunction(how):
        asyncio.run(how())
    else:
        how()
    assert _native.current_span() is None
    assert rendered(agent()) == WHOLE
