"""graphql-core and what stands on it: operations, their steps, their fields and their errors."""

import asyncio
import sys

import pytest
import strawberry
from graphql import (
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    execute,
    graphql,
    graphql_sync,
    parse,
    subscribe,
    validate,
)
from sink import tree

from pitviper import tracer
from pitviper.integrations.graphql.documents import MAX_DOCUMENT, masked

NAME, PATH, COUNT = "graphql.operation.name", "graphql.error.path", "graphql.error.count"


class OutOfStock(Exception):
    """What a resolver raises."""


def work(name):
    with tracer.start_as_current_span(name):
        return name


async def work_later(name):
    with tracer.start_as_current_span(name):
        await asyncio.sleep(0)
        return name


def refuse(*_):
    raise OutOfStock("no tea")


async def refuse_later(*_):
    await asyncio.sleep(0)
    raise OutOfStock("no tea later")


async def ticks(*_):
    for number in (1, 2):
        yield {"tick": number}


ITEM = GraphQLObjectType(
    "Item",
    lambda: {
        "name": GraphQLField(GraphQLString),
        "price": GraphQLField(GraphQLString, resolve=lambda *_: work("price")),
        "stock": GraphQLField(GraphQLInt, resolve=refuse),
        "must": GraphQLField(GraphQLNonNull(GraphQLInt), resolve=refuse),
    },
)
QUERY = GraphQLObjectType(
    "Query",
    {
        "item": GraphQLField(ITEM, resolve=lambda *_: {"name": "tea"}),
        "items": GraphQLField(GraphQLList(ITEM), resolve=lambda *_: [{"name": "tea"}] * 2),
        "later": GraphQLField(GraphQLString, resolve=lambda *_: work_later("later")),
        "sooner": GraphQLField(GraphQLString, resolve=lambda *_: work_later("sooner")),
        "refused": GraphQLField(GraphQLString, resolve=refuse_later),
        "nested": GraphQLField(GraphQLString, resolve=lambda *_: str(graphql_sync(SCHEMA, "{ item { price } }").data)),
    },
)
MUTATION = GraphQLObjectType("Mutation", {"buy": GraphQLField(GraphQLString, resolve=lambda *_: work("buy"))})
TICK = GraphQLField(GraphQLInt, subscribe=ticks)
SCHEMA = GraphQLSchema(QUERY, MUTATION, GraphQLObjectType("Subscription", {"tick": TICK}))

STEPS = [["internal parse GraphQL"], ["internal validate GraphQL"]]


def operations(spans):
    names = ("query", "mutation", "subscription", "GraphQL Operation")
    return [span for span in spans if span.name in names]


def test_an_operation_is_one_span_around_its_steps(agent):
    with tracer.start_as_current_span("request"):
        document = 'query Tea { item { name price } } # secret\nquery Other($a: Int = 5) { item(id: "x") { name } }'
        document = document.replace('(id: "x")', "").replace("($a: Int = 5)", "")
        result = graphql_sync(SCHEMA, document, operation_name="Tea")
    assert result.data == {"item": {"name": "tea", "price": "price"}} and result.errors is None
    spans = agent()
    assert tree(spans) == [["internal request", ["internal query", *STEPS, ["internal price"]]]]
    (span,) = operations(spans)
    assert span.scope == "pitviper.graphql" and span.status == "unset" and span.events == []
    assert span.attributes == {
        "graphql.operation.type": "query",
        NAME: "Tea",
        "graphql.document": document.replace("# secret", ""),
    }


def test_an_operation_with_nothing_around_it_is_a_server_span(agent):
    assert graphql_sync(SCHEMA, "mutation { buy }").data == {"buy": "buy"}
    assert tree(agent()) == [["server mutation", *STEPS, ["internal buy"]]]


def test_asynchronous_resolvers_run_below_their_operation(agent):
    async def main():
        with tracer.start_as_current_span("request"):
            return await asyncio.gather(*(graphql(SCHEMA, f"query Q{n} {{ later sooner }}") for n in range(3)))

    results = asyncio.run(main())
    assert [result.data for result in results] == [{"later": "later", "sooner": "sooner"}] * 3
    spans = agent()
    whole = ["internal query", *STEPS, ["internal later"], ["internal sooner"]]
    (root,) = tree(spans)
    assert root == ["internal request", whole, whole, whole]
    assert sorted(span.attributes[NAME] for span in operations(spans)) == ["Q0", "Q1", "Q2"]


def test_steps_by_hand_lie_beside_the_operation(agent):
    with tracer.start_as_current_span("request"):
        document = parse('query Tea { item { name } __type(name: "Item") { name } }')
        assert validate(SCHEMA, document) == []
        assert execute(SCHEMA, document).errors is None
    spans = agent()
    assert tree(spans) == [["internal request", *STEPS, ["internal query"]]]
    (span,) = operations(spans)
    assert span.attributes["graphql.document"] == "query Tea { item { name } __type(name: ?) { name } }"


def test_a_schema_or_a_document_outside_of_everything_is_no_trace(agent):
    assert validate(SCHEMA, parse("{ nothing }"))
    assert agent() == []


def test_an_error_of_a_resolver_is_recorded_once_with_its_path(agent):
    result = graphql_sync(SCHEMA, "{ items { name stock } }")
    assert [str(error.original_error) for error in result.errors] == ["no tea", "no tea"]
    (span,) = operations(agent())
    assert (span.status, span.status_message) == ("error", "no tea")
    assert span.attributes["error.type"] == f"{__name__}.OutOfStock" and span.attributes[COUNT] == 2
    assert [attributes[PATH] for _, attributes in span.events] == ["items.0.stock", "items.1.stock"]
    assert all("in refuse" in attributes["exception.stacktrace"] for _, attributes in span.events)


def test_an_error_that_nulls_the_whole_result(agent):
    async def main():
        return await graphql(SCHEMA, "{ item { must } refused }")

    result = asyncio.run(main())
    assert result.data == {"item": None, "refused": None}
    (span,) = operations(agent())
    assert sorted(attributes["exception.message"] for _, attributes in span.events) == ["no tea", "no tea later"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_cannot_be_executed(agent, by_hand):
    schema = GraphQLSchema(QUERY)

    def run():
        document = "mutation { buy }"
        return execute(schema, parse(document)) if by_hand else graphql_sync(schema, "query A { item { name } }" * 2)

    with tracer.start_as_current_span("request"):
        result = run()
    assert result.data is None and len(result.errors) >= 1
    (span,) = operations(agent())
    assert span.status == "error" and span.status_message == result.errors[0].message
    assert span.name == ("mutation" if by_hand else "GraphQL Operation")


@pytest.mark.parametrize(
    ("document", "step", "error"),
    [
        ("{ item", "parse GraphQL", "graphql.error.syntax_error.GraphQLSyntaxError"),
        ("{ item { nothing nor } }", "validate GraphQL", "graphql.error.graphql_error.GraphQLError"),
    ],
)
def test_a_document_that_is_wrong_fails_its_step(agent, document, step, error):
    result = graphql_sync(SCHEMA, document)
    spans = agent()
    (span,) = operations(spans)
    assert (span.name, span.kind, span.status) == ("GraphQL Operation", "server", "error")
    assert span.attributes["graphql.document"] == document and span.attributes["error.type"] == error
    # The step has recorded them.
    assert span.events == []
    (failed,) = [span for span in spans if span.name == step]
    assert failed.status == "error" and failed.attributes["error.type"] == error
    assert [attributes["exception.message"] for _, attributes in failed.events] == [str(e) for e in result.errors]
    assert failed.attributes[COUNT] == span.attributes[COUNT] == len(result.errors)


def test_more_errors_than_are_recorded_are_counted(agent):
    fields = " ".join(f"f{number}: stock" for number in range(30))
    assert len(graphql_sync(SCHEMA, f"{{ item {{ {fields} }} }}").errors) == 30
    (span,) = operations(agent())
    assert span.attributes[COUNT] == 30 and len(span.events) == 16


def test_what_the_application_does_wrong_passes(agent):
    with pytest.raises(TypeError) as raised:
        graphql_sync("no schema", "{ item { name } }")
    assert "schema" in str(raised.value)
    (span,) = operations(agent())
    assert span.attributes["error.type"] == "TypeError" and len(span.events) == 1


def test_a_cancelled_operation_ends_and_is_no_failure(agent):
    async def main():
        task = asyncio.ensure_future(graphql(SCHEMA, "{ later sooner }"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (span,) = operations(agent())
    assert span.status == "unset" and span.events == []


def test_an_operation_within_a_resolver_is_its_own(agent):
    graphql_sync(SCHEMA, "{ nested }")
    assert tree(agent()) == [["server query", *STEPS, ["internal query", *STEPS, ["internal price"]]]]


def test_each_event_of_a_subscription_is_an_operation(agent):
    async def main():
        stream = subscribe(SCHEMA, parse("subscription Ticks { tick }"))
        stream = await stream if hasattr(stream, "__await__") else stream
        return [result.data async for result in stream]

    assert asyncio.run(main()) == [{"tick": 1}, {"tick": 2}]
    spans = agent()
    assert tree(spans, (NAME,)) == [["server subscription", {NAME: "Ticks"}]] * 2


RESOLVERS = """
import sys
sys.path.insert(0, sys.argv[1])
import test_graphql as these
from graphql import graphql, graphql_sync
graphql_sync(these.SCHEMA, "{ items { name price must } }")
these.asyncio.run(graphql(these.SCHEMA, "{ later refused }"))
"""


def test_resolvers_are_spans_when_asked(run, sink, request):
    done = run(RESOLVERS, str(request.path.parent), PITVIPER_GRAPHQL_RESOLVERS="true", PITVIPER_GRAPHQL_DOCUMENT="no")
    assert done.returncode == 0, done.stderr
    of_an_item = [["internal resolve Item.price", ["internal price"]], ["internal resolve Item.must"]]
    assert tree(sink.spans) == [
        ["server query", *STEPS, ["internal resolve Query.items", *of_an_item * 2]],
        [
            "server query",
            *STEPS,
            ["internal resolve Query.later", ["internal later"]],
            ["internal resolve Query.refused"],
        ],
    ]
    by_path = {span.attributes.get("graphql.field.path"): span for span in sink.spans}
    must = by_path["items.1.must"]
    assert must.attributes["graphql.field.name"] == "must" and must.status == "error"
    # An error is recorded where it comes from, and all that it made null failed.
    assert [attributes[PATH] for _, attributes in must.events] == ["items.1.must"]
    assert by_path["items"].status == "error" and by_path["items"].events == []
    assert by_path["later"].status == "unset" and len(by_path["refused"].events) == 1
    for span in operations(sink.spans):
        assert span.status == "error" and span.events == [] and "graphql.document" not in span.attributes


OFF = """
import sys
from graphql import build_schema, graphql_sync
schema = build_schema("type Query { a: Int }")
if sys.argv[1:] == ["uninstall"]:
    from pitviper.instrument import engine
    graphql_sync(schema, "{ a }")
    engine.uninstall()
print(graphql_sync(schema, "{ a }", {"a": 1}).data, graphql_sync(schema, "{ b }").errors[0].message[:18])
"""


def test_disabled_and_uninstalled(run, sink):
    shown = "{'a': 1} Cannot query field\n"
    done = run(OFF, PITVIPER_INTEGRATIONS_DISABLED="graphql")
    assert done.stdout == shown, done.stderr
    assert sink.spans == []
    done = run(OFF, "uninstall")
    assert done.stdout == shown, done.stderr
    assert tree(sink.spans) == [["server query", *STEPS]]


def test_strawberry_stands_on_it(agent):
    @strawberry.type
    class Query:
        @strawberry.field
        def item(self) -> str:
            return work("item")

        @strawberry.field
        async def later(self) -> str:
            return await work_later("later")

        @strawberry.field
        def stock(self) -> int:
            return refuse()

    schema = strawberry.Schema(Query)
    with tracer.start_as_current_span("request"):
        assert schema.execute_sync("query A { item }").data == {"item": "item"}
        assert asyncio.run(schema.execute("query B { later }")).data == {"later": "later"}
        assert schema.execute_sync("query C { stock }").errors
    spans = agent()
    (root,) = tree(spans)
    once = ["internal query", ["internal item"]], ["internal query", ["internal later"]], ["internal query"]
    assert root == ["internal request", *STEPS, once[0], *STEPS, once[1], *STEPS, once[2]]
    failed = operations(spans)[2]
    assert failed.status == "error" and failed.attributes["error.type"] == f"{__name__}.OutOfStock"


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="graphene needs graphql-core 3.2, which is here up to 3.9")
def test_graphene_stands_on_it(agent):
    import graphene

    class Query(graphene.ObjectType):
        item = graphene.String()

        def resolve_item(self, _info):
            return work("item")

    assert graphene.Schema(Query).execute("{ item }").data == {"item": "item"}
    assert tree(agent()) == [["server query", *STEPS, ["internal item"]]]


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ('{ a(b: "s", c: -1.5e3, d: TRUE_1, e: 12) }', "{ a(b: ?, c: ?, d: TRUE_1, e: ?) }"),
        ('{ a(b: "\\"x # y", c: """d " \\""" \n e""") }', "{ a(b: ?, c: ?) }"),
        ("query($a1: Int = 7) { a1 b2: c # 5\n }", "query($a1: Int = ?) { a1 b2: c \n }"),
        ('{ a(b: "never ends', "{ a(b: ?"),
        ('{ a(b: """never "" ends\n', "{ a(b: ?"),
        ('{ a(b: "", c: """""") }', "{ a(b: ?, c: ?) }"),
        ("{ a(b: [1, 2], c: {d: 0}) }", "{ a(b: [?, ?], c: {d: ?}) }"),
    ],
)
def test_what_clients_write_into_documents_is_masked(document, shown):
    assert masked(document) == shown


def test_long_documents_are_cut():
    document = '{ a(b: "' + "x" * MAX_DOCUMENT * 2 + '") }'
    assert masked(document) == "{ a(b: ?"
    assert len(masked("{ " + "field " * MAX_DOCUMENT)) == MAX_DOCUMENT
