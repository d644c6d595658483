"""What of ddtrace concerns an application that imports none of it: its variables, and its fields of log records."""

import os

from pitviper import _native, settings
from pitviper.integrations import _log

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping
    from typing import Any, Optional

#: Integrations of ddtrace that have other names here.
_OURS = {
    "aiohttp": ("aiohttp_client", "aiohttp_server"),
    "asyncio": ("event_loop",),
    "boto": ("botocore",),
    "httplib": ("http_client",),
    "kafka": ("confluent_kafka",),
    "mysql": ("mysqldb",),
    "psycopg": ("psycopg", "psycopg2"),
}

#: Services that ddtrace makes up for calls of libraries, as far as they have other names than its integrations.
_MADE_UP = {
    "memcached": ("memcache", "pylibmc", "pymemcache"),
    "mongodb": ("pymongo",),
    "mysql": ("aiomysql", "mysqldb", "pymysql"),
    "postgres": ("asyncpg", "psycopg", "psycopg2"),
    "sqlite": ("aiosqlite", "sqlite3"),
}

#: Who serves a request may be a server, in the name of the framework.
_FRAMEWORKS = frozenset(
    ("aiohttp_server", "bottle", "django", "falcon", "fastapi", "flask", "pyramid", "starlette", "tornado")
)
_SERVERS = ("asgi", "gunicorn", "hypercorn", "uvicorn", "wsgi")

#: Variables that the agent, its integrations or its face of ddtrace follow.
FOLLOWED = frozenset(
    (
        "DD_ENV",
        "DD_LOGS_INJECTION",
        "DD_PATCH_MODULES",
        "DD_PROFILING_ENABLED",
        "DD_PROFILING_HEAP_ENABLED",
        "DD_PROFILING_HEAP_SAMPLE_SIZE",
        "DD_PROFILING_MEMORY_ENABLED",
        "DD_PROFILING_UPLOAD_INTERVAL",
        "DD_RUNTIME_METRICS_ENABLED",
        "DD_SERVICE",
        "DD_SERVICE_MAPPING",
        "DD_TAGS",
        "DD_TRACE_BAGGAGE_TAG_KEYS",
        "DD_TRACE_ENABLED",
        "DD_TRACE_HEADER_TAGS",
        "DD_TRACE_PROPAGATION_STYLE",
        "DD_TRACE_PROPAGATION_STYLE_EXTRACT",
        "DD_TRACE_PROPAGATION_STYLE_INJECT",
        "DD_TRACE_RATE_LIMIT",
        "DD_TRACE_SAMPLE_RATE",
        "DD_TRACE_SAMPLING_RULES",
        "DD_TRACE_SPAN_TRACEBACK_MAX_SIZE",
        "DD_TRACE_WRAP_SPAN_NAME_INCLUDE_CLASS",
        "DD_VERSION",
    )
)
_FIRST, _LAST = "DD_TRACE_", "_ENABLED"
_DISTRIBUTED = "_DISTRIBUTED_TRACING"


def ours(name: str) -> "tuple[str, ...]":
    """Our integrations for one of ddtrace's; none when there is none."""
    from pitviper.integrations._index import MODULES

    return tuple(known for known in _OURS.get(name, (name,)) if known in MODULES)


def give_service(name: str, service: "Optional[str]") -> None:
    """Says which service the spans of an integration of ddtrace's are part of; None for that of what is around them.

    Args:
        name: The integration's name, or that of a service which ddtrace makes up for its calls.
        service: The service.
    """
    from pitviper.bootstrap import current_config

    config = current_config()
    # The process's own service has the process's resource.
    own = config is not None and service == config["service"]
    for scope in _scopes(_MADE_UP.get(name) or ours(name)):
        _native.set_scope_service(scope, None if own else service)


def distribute(name: str, wanted: bool) -> None:
    """Says whether spans of an integration of ddtrace's continue other processes' traces, and are continued there."""
    for scope in _scopes(ours(name)):
        _native.set_scope_distributed(scope, wanted)


def _scopes(integrations: "tuple[str, ...]") -> "list[str]":
    servers = _SERVERS if _FRAMEWORKS.intersection(integrations) else ()
    return [f"pitviper.{name}" for name in (*integrations, *servers)]


def map_services(mapping: "Mapping[str, str]") -> None:
    """Follows ``DD_SERVICE_MAPPING`` for what integrations trace: under ddtrace their calls are those of services of
    their own, such as ``redis``; what is said of these holds for the calls."""
    for name, service in mapping.items():
        give_service(name, service)


def follow_distribution(environ: "Mapping[str, str]") -> None:
    """Follows ``DD_{INTEGRATION}_DISTRIBUTED_TRACING`` where it is false; elsewhere contexts are passed on anyway."""
    for variable, value in environ.items():
        if not (variable.startswith("DD_") and variable.endswith(_DISTRIBUTED)):
            continue
        try:
            wanted = settings.flag(value)
        except ValueError:
            # Not a flag; it changes nothing, as in ddtrace.
            continue
        distribute(variable[len("DD_") : -len(_DISTRIBUTED)].lower(), wanted)


def _integration_of(variable: str) -> "Optional[str]":
    """The integration that ``DD_TRACE_{INTEGRATION}_ENABLED`` is about; None for another variable."""
    if not variable.startswith(_FIRST) or not variable.endswith(_LAST) or variable == "DD_TRACE_ENABLED":
        return None
    return variable[len(_FIRST) : -len(_LAST)].lower() or None


def _follows(variable: str) -> bool:
    if variable in FOLLOWED:
        return True
    if variable.endswith(_DISTRIBUTED):
        return bool(ours(variable[len("DD_") : -len(_DISTRIBUTED)].lower()))
    integration = _integration_of(variable)
    return integration is not None and bool(ours(integration))


def not_followed(environ: "Mapping[str, str]") -> "list[str]":
    """The variables of ddtrace that are set and change nothing here."""
    return sorted(name for name in environ if name.startswith("DD_") and not _follows(name))


def left_alone(environ: "Mapping[str, str]") -> "list[str]":
    """Our integrations that ``DD_TRACE_{INTEGRATION}_ENABLED`` and ``DD_PATCH_MODULES`` switch off."""
    given = settings.pairs(environ.get("DD_PATCH_MODULES", ""))
    for variable, value in environ.items():
        integration = _integration_of(variable)
        if integration is not None:
            given[integration] = value
    off: set[str] = set()
    for name, value in given.items():
        try:
            if not settings.flag(value):
                off.update(ours(name))
        except ValueError:
            # Not a flag; it changes nothing, as in ddtrace.
            continue
    return sorted(off)


def mark_logs() -> None:
    """Gives records of ``logging`` the fields of ddtrace from now on, unless ``DD_LOGS_INJECTION`` is false."""
    try:
        wanted = settings.flag(os.environ.get("DD_LOGS_INJECTION") or "true")
    except ValueError:
        # Words such as "structured" ask for them.
        wanted = True
    if wanted and _mark not in _log.also:
        _log.also.append(_mark)
        _log.more.append(log_fields)


def _mark(record: "logging.LogRecord") -> None:
    record.__dict__.update(log_fields())


def log_fields() -> "dict[str, Any]":
    """What ddtrace writes into a record of a log."""
    from pitviper.bootstrap import current_config

    found, config = _log.ids(), current_config()
    fields: dict[str, Any] = {
        "dd.trace_id": _log.NONE if found is None else found[0],
        "dd.span_id": _log.NONE if found is None else str(int(found[1], 16)),
    }
    for name in ("service", "env", "version"):
        fields[f"dd.{name}"] = (config[name] if config is not None else None) or ""
    return fields
