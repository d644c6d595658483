"""graphql-core, and what stands on it, such as Strawberry, Graphene and Ariadne: a span for each operation.

An operation's span is named after its type; the name that a client gave it is an attribute, as are the
document, its strings and numbers replaced by `?`. It is internal below another span, such as that of the
HTTP request, and a server span where there is none. `graphql()` and `graphql_sync()` are one operation from
parsing to the result. Where a library parses, validates and executes by itself, the operation is the
execution, with parsing and validation beside it. Each event of a subscription is an operation.

Errors in the result make the operation fail, and each is recorded once, with its path in the result: the
exception that a resolver raised, where one did.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.settings import Setting, flag

_OF_AN_OPERATION = "graphql.operation.type graphql.operation.name graphql.document graphql.error.count error.type"
_OF_A_STEP = "graphql.error.count error.type"

INTEGRATION = Integration(
    "graphql",
    distribution="graphql-core",
    minimum=(3, 2),
    patches=(
        Patch("graphql.graphql:graphql_impl", "request"),
        Patch("graphql.language.parser:Parser.parse_document", "parse_document"),
        Patch("graphql.validation.validate:visit", "visit"),
        # Up to 3.2, and from 3.3.
        Patch("graphql.execution.execute:ExecutionContext.execute_operation", "execute_operation", optional=True),
        Patch("graphql.execution.executor:Executor.execute_operation", "execute_operation", optional=True),
        Patch("graphql.execution.execute:ExecutionContext.execute_field", "execute_field", optional=True),
        Patch("graphql.execution.executor:Executor.execute_field", "execute_field", optional=True),
        Patch("graphql.execution.execute:ExecutionContext.handle_field_error", "handle_field_error", optional=True),
        Patch("graphql.execution.executor:Executor.handle_field_error", "handle_field_error", optional=True),
    ),
    spans=(
        SpanShape(
            "{graphql.operation.type}",
            "internal",
            _OF_AN_OPERATION,
            "an operation until its result is complete; `GraphQL Operation` when its type is not known",
        ),
        SpanShape("{graphql.operation.type}", "server", _OF_AN_OPERATION, "the same where nothing is around it"),
        SpanShape(
            "parse GraphQL", "internal", "graphql.error.count error.type", "reading a document, below another span"
        ),
        SpanShape(
            "validate GraphQL",
            "internal",
            "graphql.error.count error.type",
            "holding it against the schema, below another span",
        ),
        SpanShape(
            "resolve {type}.{field}",
            "internal",
            "graphql.field.name graphql.field.path error.type",
            "with the option `resolvers`: a field that has a resolver, with the fields below it",
        ),
    ),
    options=(
        Setting(
            "document",
            True,
            flag,
            "PITVIPER_GRAPHQL_DOCUMENT",
            "Whether documents are recorded, their strings and numbers replaced by `?`.",
        ),
        Setting(
            "resolvers",
            False,
            flag,
            "PITVIPER_GRAPHQL_RESOLVERS",
            "Whether each field that has a resolver is a span of its own. A list of a thousand objects then has a "
            "thousand spans and more.",
        ),
    ),
)
