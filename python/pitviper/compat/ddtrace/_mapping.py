"""What a span in Datadog's terms is in ours: the rules by which the server receives spans of ddtrace.

The tables and rules are those of the server's receiver (docs/reference/datadog.md), so that an application
looks the same whether it reports through ddtrace or through this agent; tests hold them together.
"""

import re
from typing import Any, Optional

from pitviper import _native

#: The kinds of OTLP.
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5
_KINDS = {"internal": INTERNAL, "server": SERVER, "client": CLIENT, "producer": PRODUCER, "consumer": CONSUMER}
_CLIENT_TYPES = frozenset(
    ("http", "sql", "redis", "valkey", "memcached", "mongodb", "cassandra", "elasticsearch"),
)
_COMMAND_TYPES = frozenset(("redis", "valkey", "memcached"))
_QUERY_TYPES = frozenset(("sql", "redis", "valkey", "memcached", "mongodb"))
#: Longest name of a span, in bytes; a resource may be a whole statement.
_MAX_NAME_BYTES = 1_024

_TEXT, _INTEGER, _URL, _SYSTEM, _COMMAND, _ROUTE = range(6)

#: Datadog's names, ours, and what becomes of the value.
RENAMED = {
    "aws.operation": ("rpc.method", _TEXT),
    "aws.region": ("cloud.region", _TEXT),
    "aws.requestid": ("aws.request_id", _TEXT),
    "aws_service": ("rpc.service", _TEXT),
    "celery.action": ("messaging.operation.name", _TEXT),
    "celery.delivery_info.routing_key": ("messaging.destination.name", _TEXT),
    "celery.id": ("messaging.message.id", _TEXT),
    "celery.routing_key": ("messaging.destination.name", _TEXT),
    "db.instance": ("db.namespace", _TEXT),
    "db.name": ("db.namespace", _TEXT),
    "db.row_count": ("db.response.returned_rows", _INTEGER),
    "db.statement": ("db.query.text", _TEXT),
    "db.system": ("db.system.name", _SYSTEM),
    "db.type": ("db.system.name", _SYSTEM),
    "elasticsearch.method": ("http.request.method", _TEXT),
    "elasticsearch.url": ("url.path", _TEXT),
    "grpc.host": ("server.address", _TEXT),
    "grpc.method.name": ("rpc.method", _TEXT),
    "grpc.method.service": ("rpc.service", _TEXT),
    "grpc.port": ("server.port", _INTEGER),
    "http.client_ip": ("client.address", _TEXT),
    "http.method": ("http.request.method", _TEXT),
    "http.query.string": ("url.query", _TEXT),
    "http.request.headers.content-length": ("http.request.body.size", _INTEGER),
    "http.request_content_length": ("http.request.body.size", _INTEGER),
    "http.response_content_length": ("http.response.body.size", _INTEGER),
    "http.route": ("http.route", _ROUTE),
    "http.status_code": ("http.response.status_code", _INTEGER),
    "http.url": ("url.full", _URL),
    "http.useragent": ("user_agent.original", _TEXT),
    "http.version": ("network.protocol.version", _TEXT),
    "kafka.cluster_id": ("messaging.kafka.cluster.id", _TEXT),
    "kafka.group_id": ("messaging.consumer.group.name", _TEXT),
    "kafka.message_key": ("messaging.kafka.message.key", _TEXT),
    "kafka.message_offset": ("messaging.kafka.offset", _INTEGER),
    "kafka.partition": ("messaging.destination.partition.id", _TEXT),
    "kafka.topic": ("messaging.destination.name", _TEXT),
    "memcached.query": ("db.query.text", _COMMAND),
    "messaging.message_id": ("messaging.message.id", _TEXT),
    "messaging.operation": ("messaging.operation.name", _TEXT),
    "mongodb.collection": ("db.collection.name", _TEXT),
    "mongodb.db": ("db.namespace", _TEXT),
    "mongodb.query": ("db.query.text", _TEXT),
    "net.peer.ip": ("network.peer.address", _TEXT),
    "network.client.ip": ("network.peer.address", _TEXT),
    "network.destination.ip": ("network.peer.address", _TEXT),
    "network.destination.name": ("server.address", _TEXT),
    "network.destination.port": ("server.port", _INTEGER),
    "out.host": ("server.address", _TEXT),
    "out.port": ("server.port", _INTEGER),
    "out.redis_db": ("db.namespace", _TEXT),
    "out.valkey_db": ("db.namespace", _TEXT),
    "peer.hostname": ("server.address", _TEXT),
    "redis.pipeline_length": ("db.operation.batch.size", _INTEGER),
    "redis.raw_command": ("db.query.text", _COMMAND),
    "sql.db": ("db.namespace", _TEXT),
    "usr.id": ("user.id", _TEXT),
    "valkey.raw_command": ("db.query.text", _COMMAND),
}

#: Names that say nothing here: what they say is in the ids, the process or the metrics.
LEFT_OUT = frozenset(
    (
        "_dd.agent_psr",
        "_dd.apm.enabled",
        "_dd.base_service",
        "_dd.compute_stats",
        "_dd.dbm_trace_injected",
        "_dd.hostname",
        "_dd.limit_psr",
        "_dd.measured",
        "_dd.p.ksr",
        "_dd.p.tid",
        "_dd.parent_id",
        "_dd.partial_version",
        "_dd.py.partial_flush",
        "_dd.rule_psr",
        "_dd.span_events.has_exception",
        "_dd.span_links",
        "_dd.svc_src",
        "_dd.tags.process",
        "_dd.top_level",
        "_dd.tracer_kr",
        "_dd.tracer_version",
        "component",
        "events",
        "span.kind",
    )
)
#: Names of what the process is; they are said once, of the process.
OF_PROCESS = frozenset(
    (
        "_dd.git.commit.sha",
        "_dd.git.repository_url",
        "env",
        "git.commit.sha",
        "git.repository_url",
        "language",
        "process_id",
        "runtime-id",
        "version",
    )
)
#: What failed is the status and an event.
_ERRORS = frozenset(("error.message", "error.msg", "error.stack"))
_HEADERS = (
    ("http.request.headers.", "http.request.header."),
    ("http.response.headers.", "http.response.header."),
)
_SECRET_HEADERS = frozenset(
    (
        "authorization",
        "cookie",
        "set-cookie",
        "proxy-authorization",
        "x-api-key",
        "x-auth-token",
        "x-csrf-token",
    )
)
_SYSTEMS = {
    "postgres": "postgresql",
    "mssql": "microsoft.sql_server",
    "sqlserver": "microsoft.sql_server",
    "oracle": "oracle.db",
    "opensearchpy": "opensearch",
}
#: Databases by the first part of an operation.
_VENDORS = {
    "postgres": "postgresql",
    "psycopg": "postgresql",
    "asyncpg": "postgresql",
    "aiopg": "postgresql",
    "mariadb": "mariadb",
    "sqlite": "sqlite",
}
_MYSQL = frozenset(("mysql", "pymysql", "MySQLdb", "aiomysql"))
_NAMED_SYSTEMS = frozenset(("redis", "valkey", "memcached", "mongodb", "cassandra", "elasticsearch"))
#: What is done with a task of Celery, by the operation: sending it is not running it.
_TASKS = {"celery.apply": "apply_async", "celery.run": "run"}
_CREDENTIALS = re.compile(r"^([^/?#]*?://)[^/?#]*@")


def without_builtins(name: str) -> str:
    """Python's own exceptions by their names alone."""
    return name[len("builtins.") :] if name.startswith("builtins.") else name


def kind_of(said: Any, span_type: Optional[str], is_entry: bool) -> int:
    """The kind of a span: what it says, else what its type is."""
    if said:
        kind = _KINDS.get(str(said))
        if kind is not None:
            return kind
    if span_type in _CLIENT_TYPES:
        return CLIENT
    if is_entry:
        if span_type == "web":
            return SERVER
        if span_type == "worker":
            return CONSUMER
    return INTERNAL


def attribute(key: str, value: "str | float") -> "Optional[tuple[str, object]]":
    """What a tag or a metric is called, and its value; None for one that is left out."""
    renamed = RENAMED.get(key)
    if isinstance(value, (int, float)):
        if key in LEFT_OUT or key in OF_PROCESS:
            return None
        # A count is a count again.
        whole = int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 9e15 else value
        # Drivers say so when they do not know.
        if key == "db.row_count" and whole < 0:
            return None
        if key == "_sampling_priority_v1":
            return "sampling.priority", whole
        return (renamed[0] if renamed else key), whole
    if renamed is not None:
        return renamed[0], _formed(renamed[1], value)
    if key in LEFT_OUT or key in OF_PROCESS or key in _ERRORS:
        return None
    if key == "error.type":
        return key, without_builtins(value)
    if key.startswith("http.re"):
        for prefix, name in _HEADERS:
            if key.startswith(prefix):
                header = key[len(prefix) :]
                return None if header in _SECRET_HEADERS else (name + header, [value])
    return key, value


def _formed(form: int, value: str) -> object:
    if form == _TEXT:
        return value
    if form == _INTEGER:
        try:
            return int(value)
        except ValueError:
            return value
    if form == _URL:
        return _CREDENTIALS.sub(r"\1", value)
    if form == _SYSTEM:
        return _SYSTEMS.get(value, value)
    if form == _ROUTE:
        return _route(value)
    return "\n".join(_command(line) for line in value.splitlines())


def _command(line: str) -> str:
    command, *rest = line.lstrip().split(None, 1)
    return f"{command} ?" if rest else command


def _route(text: str) -> str:
    """A route with its first slash, and without the anchors of a regular expression."""
    if text.startswith("/") and "^" not in text and not text.endswith("$"):
        return text
    # Within brackets it is no anchor.
    text = re.sub(r"(?<!\[)\^", "", re.sub(r"(\$|\\Z)\Z", "", text))
    return text if text.startswith("/") else f"/{text}"


def _is_route(path: str) -> bool:
    """Whether Django's integration means a route: requests may be named by their function, or by a status."""
    is_function = "." in path and not any(mark in path for mark in "/<^")
    return not is_function and not (path.isascii() and path.isdigit())


def _is_method(word: str) -> bool:
    return bool(word) and word.isascii() and word.isalpha() and word.isupper()


def _is_request(resource: str) -> bool:
    method, _, path = resource.partition(" ")
    return _is_method(method) and path.startswith("/")


def _system_of(operation: str, span_type: Optional[str]) -> Optional[str]:
    vendor = operation.partition(".")[0]
    if vendor in _VENDORS:
        return _VENDORS[vendor]
    if vendor in _MYSQL and span_type == "sql":
        return "mysql"
    return span_type if span_type in _NAMED_SYSTEMS else None


def _cut(name: str) -> str:
    encoded = name.encode("utf-8", "replace")
    if len(encoded) <= _MAX_NAME_BYTES:
        return name
    return encoded[:_MAX_NAME_BYTES].decode("utf-8", "ignore")


def describe(
    operation: str, resource: str, span_type: Optional[str], kind: int
) -> "tuple[str, Optional[tuple[str, str, str]]]":
    """What a span is called, and what statement it stands for: its text without literals, its summary and
    its operation.

    - A statement is named by its operations and tables.
    - A call over HTTP is named by its method, for its resource is a path with everything in it.
    - A command of MongoDB is named without its query, a pipeline of Redis by the command that all of it is.
    - A request that Django serves is named by its route, a task of Celery by what is done with it as well.
    - A step within a request, which has the request's resource, is named by its operation.
    - Anything else is named by its resource: the route, the task or the template.
    """
    resource = resource or operation
    if operation in _TASKS:
        return _cut(f"{_TASKS[operation]} {resource}"), None
    if operation == "django.request":
        method, space, path = resource.partition(" ")
        if space and _is_method(method) and _is_route(path):
            return _cut(f"{method} {_route(path)}"), None
    if span_type == "sql":
        if resource != operation:
            described = _native.describe_statement(resource, _system_of(operation, "sql") or "postgresql")
            return described[1], described
    elif span_type == "http":
        method = resource.partition(" ")[0]
        if kind == CLIENT and method != resource and _is_method(method):
            return method, None
    elif span_type == "mongodb":
        return _cut(re.split(r"[{\[]", resource, maxsplit=1)[0].rstrip()), None
    elif span_type in _COMMAND_TYPES:
        first, *others = [line.split(None, 1)[0] if line.split() else "" for line in resource.splitlines()] or [""]
        if "\n" not in resource:
            return _cut(first), None
        return (_cut(f"PIPELINE {first}") if set(others) <= {first} else "PIPELINE"), None
    elif span_type == "grpc":
        return _cut(resource[1:] if resource.startswith("/") else resource), None
    elif not span_type and kind == INTERNAL and _is_request(resource):
        return operation, None
    return _cut(resource), None


def attributes_of(
    operation: str, resource: str, span_type: Optional[str], tags: "dict[str, str | float]", is_entry: bool
) -> "tuple[str, int, dict[str, object]]":
    """Name, kind and attributes of a span."""
    kind = kind_of(tags.get("span.kind"), span_type, is_entry)
    name, statement = describe(operation, resource, span_type, kind)
    found: dict[str, object] = {}
    for key, value in tags.items():
        pair = attribute(key, value)
        # Two of Datadog's names may be one of ours; the first counts.
        if pair is not None:
            found.setdefault(*pair)
    if statement is not None:
        text, summary, verb = statement
        for key, value in (("db.query.text", text), ("db.query.summary", summary), ("db.operation.name", verb)):
            if value:
                found.setdefault(key, value)
    elif span_type in _COMMAND_TYPES:
        found.setdefault("db.operation.name", name)
    elif span_type == "mongodb":
        found.setdefault("db.operation.name", name.partition(" ")[0])
    if operation in _TASKS:
        found.setdefault("messaging.system", "celery")
    if kind == CLIENT:
        system = _system_of(operation, span_type)
        if system is not None:
            found.setdefault("db.system.name", system)
    if span_type == "grpc":
        found.setdefault("rpc.system", "grpc")
    if operation != name:
        found.setdefault("operation.name", operation)
    # A statement as it was given has its literals; what stands for it is above.
    if resource and resource not in (name, operation) and span_type not in _QUERY_TYPES:
        found.setdefault("resource.name", resource)
    if span_type:
        found.setdefault("span.type", span_type)
    return name, kind, found
