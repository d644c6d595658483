"""Settings: each is declared once, with its meaning, default, unit and the variables that set it.

A value given to :func:`pitviper.init` counts most, then the variables in the order listed: ours,
OpenTelemetry's, Datadog's of the same meaning.
"""

import os
import sys

from pitviper import profiles, signals
from pitviper.settings import (
    Resolved,
    Setting,
    count,
    flag,
    names,
    one_of,
    pairs,
    propagators,
    ratio,
    resolve,
    text,
    url,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Optional

_COMPRESSIONS = ("auto", "none", "gzip", "zstd")
_SAMPLERS = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)


SETTINGS = (
    Setting(
        "enabled",
        True,
        flag,
        "PITVIPER_ENABLED DD_TRACE_ENABLED",
        "Whether the application is traced at all. OTEL_SDK_DISABLED=true disables as well.",
    ),
    Setting(
        "endpoint",
        "http://127.0.0.1:4318",
        url,
        "PITVIPER_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT",
        "Base URL of the OTLP/HTTP receiver; /v1/traces, /v1/metrics, /v1/logs and /v1/pprof are added.",
    ),
    Setting(
        "traces_endpoint",
        None,
        url,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "Full URL for traces; used as it is.",
    ),
    Setting(
        "headers",
        {},
        pairs,
        "PITVIPER_HEADERS OTEL_EXPORTER_OTLP_TRACES_HEADERS OTEL_EXPORTER_OTLP_HEADERS",
        "Headers sent with every export, as a=b,c=d. Never shown.",
        secret=True,
    ),
    Setting(
        "token",
        None,
        text,
        "PITVIPER_TOKEN",
        "Token of the server, sent as a bearer token. Never shown.",
        secret=True,
    ),
    Setting(
        "compression",
        "auto",
        one_of(*_COMPRESSIONS),
        "PITVIPER_COMPRESSION OTEL_EXPORTER_OTLP_TRACES_COMPRESSION OTEL_EXPORTER_OTLP_COMPRESSION",
        "auto (none on this machine, gzip elsewhere), none, gzip or zstd.",
    ),
    Setting(
        "service",
        None,
        text,
        "PITVIPER_SERVICE OTEL_SERVICE_NAME DD_SERVICE",
        "Name of the service; guessed from the command line when not set.",
    ),
    Setting("env", None, text, "PITVIPER_ENV DD_ENV", "Deployment environment, such as production."),
    Setting("version", None, text, "PITVIPER_VERSION DD_VERSION", "Version of the application."),
    Setting(
        "tags",
        {},
        pairs,
        "PITVIPER_TAGS OTEL_RESOURCE_ATTRIBUTES DD_TAGS",
        "Further resource attributes, as a=b,c=d.",
    ),
    Setting(
        "sample_rate",
        1.0,
        ratio,
        "PITVIPER_SAMPLE_RATE DD_TRACE_SAMPLE_RATE",
        "Share of new traces that are recorded, 0 to 1. A trace begun elsewhere follows its caller.",
    ),
    Setting(
        "sampler",
        "parentbased_always_on",
        one_of(*_SAMPLERS),
        "OTEL_TRACES_SAMPLER",
        "OpenTelemetry's sampler name, with OTEL_TRACES_SAMPLER_ARG; counts less than PITVIPER_SAMPLE_RATE.",
    ),
    Setting("sampler_arg", 1.0, ratio, "OTEL_TRACES_SAMPLER_ARG", "Argument of the sampler."),
    Setting(
        "compat",
        [],
        names,
        "PITVIPER_COMPAT",
        "APIs of other agents that this one serves even where their package is installed, separated by commas: "
        "ddtrace, oneagent. What is not installed is served in any case.",
    ),
    Setting(
        "remote_settings",
        True,
        flag,
        "PITVIPER_REMOTE_SETTINGS DD_REMOTE_CONFIGURATION_ENABLED",
        "Whether what an operator sets on the server for this service is followed while the process runs: the share of "
        "traces that are kept, and profiling.",
    ),
    Setting(
        "remote_settings_interval",
        60.0,
        profiles.seconds,
        "PITVIPER_REMOTE_SETTINGS_INTERVAL DD_REMOTE_CONFIG_POLL_INTERVAL_SECONDS",
        "How long a process with nothing to send waits before it asks the server again, in seconds.",
    ),
    Setting(
        "integrations_disabled",
        [],
        names,
        "PITVIPER_INTEGRATIONS_DISABLED OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
        "Integrations that stay off, separated by commas.",
    ),
    Setting(
        "propagators",
        None,
        propagators,
        "PITVIPER_PROPAGATORS OTEL_PROPAGATORS DD_TRACE_PROPAGATION_STYLE",
        "Formats in which traces are handed to other processes and taken over from them, in the order in which they "
        "are read: tracecontext, baggage, datadog, b3, b3multi, dynatrace, or none. When not set, tracecontext and "
        "baggage, and datadog is read where no traceparent is.",
    ),
    Setting(
        "propagators_extract",
        None,
        propagators,
        "PITVIPER_PROPAGATORS_EXTRACT DD_TRACE_PROPAGATION_STYLE_EXTRACT",
        "The same for reading alone.",
    ),
    Setting(
        "propagators_inject",
        None,
        propagators,
        "PITVIPER_PROPAGATORS_INJECT DD_TRACE_PROPAGATION_STYLE_INJECT",
        "The same for writing alone.",
    ),
    Setting(
        "baggage_attributes",
        [],
        names,
        "PITVIPER_BAGGAGE_ATTRIBUTES DD_TRACE_BAGGAGE_TAG_KEYS",
        "Keys of baggage, separated by commas, that spans have as attributes baggage.{key}; * for all.",
    ),
    Setting("timeout_ms", 10_000, count, "OTEL_EXPORTER_OTLP_TIMEOUT", "Longest time for one export, in ms."),
    Setting(
        "exit_timeout_ms",
        3_000,
        count,
        "PITVIPER_EXIT_TIMEOUT",
        "Longest time the end of a process waits for its last spans to be sent, in ms.",
    ),
    Setting("schedule_delay_ms", 1_000, count, "OTEL_BSP_SCHEDULE_DELAY", "Longest wait before an export, in ms."),
    Setting("max_queue_spans", 16_384, count, "OTEL_BSP_MAX_QUEUE_SIZE", "Finished spans that may wait."),
    Setting("max_batch_spans", 2_048, count, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "Spans in one export."),
    Setting(
        "attribute_count_limit",
        128,
        count,
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT",
        "Attributes of a span.",
    ),
    Setting(
        "event_attribute_count_limit",
        128,
        count,
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT",
        "Attributes of an event.",
    ),
    Setting(
        "link_attribute_count_limit",
        128,
        count,
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT",
        "Attributes of a link.",
    ),
    Setting(
        "attribute_value_length_limit",
        None,
        count,
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "Characters of a text attribute; no limit when not set.",
    ),
    Setting(
        "span_attribute_value_length_limit",
        None,
        count,
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "The same for attributes of spans alone, not of events and links.",
    ),
    Setting("event_count_limit", 128, count, "OTEL_SPAN_EVENT_COUNT_LIMIT", "Events of a span."),
    Setting("link_count_limit", 128, count, "OTEL_SPAN_LINK_COUNT_LIMIT", "Links of a span."),
    *signals.SETTINGS,
    *profiles.SETTINGS,
)


class Config:
    """All settings as they are in force."""

    def __init__(self, resolved: "dict[str, Resolved]") -> None:
        self.resolved = resolved

    def __getitem__(self, name: str) -> "Any":
        return self.resolved[name].value

    @property
    def problems(self) -> "list[str]":
        """A line for each variable that cannot be followed."""
        return [problem for resolved in self.resolved.values() for problem in resolved.problems]

    @property
    def traces_url(self) -> str:
        """URL that traces are posted to."""
        return self["traces_endpoint"] or self["endpoint"].rstrip("/") + "/v1/traces"

    def headers(self) -> "list[tuple[str, str]]":
        """Headers of an export, the token among them."""
        headers = list(self["headers"].items())
        if self["token"]:
            headers.append(("authorization", f"Bearer {self['token']}"))
        return headers

    def sampler(self) -> "tuple[str, float]":
        """The sampler's name and argument: what ``sample_rate`` says, or ``sampler``, whichever comes
        from the source that counts more."""
        if _rank(self.resolved["sample_rate"]) <= _rank(self.resolved["sampler"]):
            return "parentbased_traceidratio", self["sample_rate"]
        return self["sampler"], self["sampler_arg"]

    @property
    def is_sampler_default(self) -> bool:
        """Whether nothing of ours or OpenTelemetry's says which traces are kept."""
        return all(_rank(self.resolved[name]) >= _SOURCES.index("DD_") for name in ("sample_rate", "sampler"))

    def formats(self, direction: str) -> "Optional[list[str]]":
        """The formats of contexts for ``extract`` or ``inject``; None for the default.

        What concerns one direction counts more than what concerns both, unless its source counts less.
        """
        both, own = self.resolved["propagators"], self.resolved[f"propagators_{direction}"]
        chosen = both if own.value is None or _rank(both) < _rank(own) else own
        if chosen.value is None and "ddtrace" in self["compat"]:
            return ["datadog", "tracecontext", "baggage"]
        # To init() they may be given as the variables have them.
        return propagators(chosen.value) if isinstance(chosen.value, str) else chosen.value


#: Sources in the order in which they count.
_SOURCES = ("the server", "init()", "PITVIPER_", "OTEL_", "DD_")


def _rank(resolved: Resolved) -> int:
    return next((rank for rank, prefix in enumerate(_SOURCES) if resolved.source.startswith(prefix)), len(_SOURCES))


def load(environ: "Mapping[str, str]", overrides: "Optional[dict[str, Any]]" = None) -> Config:
    """Works out all settings.

    A variable that cannot be read is skipped and named in :attr:`Config.problems`; an application
    must not fail to start because of it.

    Raises:
        TypeError: An override has a name that is no setting.
    """
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    unknown = set(given) - {setting.name for setting in SETTINGS}
    if unknown:
        raise TypeError(f"pitviper.init() has no setting {', '.join(sorted(unknown))}")
    resolved = {
        setting.name: Resolved(given[setting.name], "init()") if setting.name in given else resolve(setting, environ)
        for setting in SETTINGS
    }
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        disabled = Resolved(False, "OTEL_SDK_DISABLED", resolved["enabled"].problems)
        if _rank(disabled) < _rank(resolved["enabled"]):
            resolved["enabled"] = disabled
    if resolved["integrations_disabled"].source == "default" and any(
        name.startswith(("DD_TRACE_", "DD_PATCH_MODULES")) for name in environ
    ):
        from pitviper.compat import datadog

        off = datadog.left_alone(environ)
        if off:
            resolved["integrations_disabled"] = Resolved(off, "DD_TRACE_..._ENABLED")
    if resolved["service"].value is None:
        named = resolved["tags"].value.get("service.name")
        if named:
            named, source = named, resolved["tags"].source
        else:
            named, source = guess_service(command_line(), environ), "guessed from the command line"
        resolved["service"] = Resolved(named, source, resolved["service"].problems)
    mapped = pairs(environ.get("DD_SERVICE_MAPPING", "")).get(resolved["service"].value)
    if mapped:
        resolved["service"] = Resolved(mapped, "DD_SERVICE_MAPPING", resolved["service"].problems)
    return Config(resolved)


def command_line() -> "list[str]":
    """The command line of this process, the interpreter included."""
    try:
        with open("/proc/self/cmdline", "rb") as file:
            parts = file.read().split(b"\0")
        return [os.fsdecode(part) for part in parts if part]
    except OSError:
        return list(getattr(sys, "orig_argv", None) or getattr(sys, "argv", []) or [])


#: Programs that serve an application named in their arguments.
_SERVERS = ("gunicorn", "uvicorn", "hypercorn", "granian", "waitress-serve", "daphne", "uwsgi", "celery", "flask")
#: Script names that say nothing; their folder says more.
_GENERIC = ("app", "main", "manage", "wsgi", "asgi", "run", "server", "__main__", "start", "serve")


def guess_service(command: "list[str]", environ: "Mapping[str, str]") -> str:
    """A service name for a command line: the application a server was told to run, the module, or
    the script, and never the interpreter."""
    arguments = list(command)
    program = os.path.basename(arguments.pop(0)) if arguments else ""
    if program.startswith(("python", "pypy")):
        target = python_target(arguments)
        if target is None or target[0] == "c":
            return "python-application"
        kind, program, own = target
        program, arguments = program.partition(".")[0] if kind == "m" else program, arguments[own:]
    name = _stem(program)
    if name in _SERVERS:
        found = (_of_uwsgi(arguments) if name == "uwsgi" else None) or _application(arguments)
        return found or _stem(environ.get("FLASK_APP", "").partition(":")[0]) or name
    return _script(program) or "python-application"


def _script(path: str) -> str:
    """What a script is called."""
    name = _stem(path)
    if name in _GENERIC:
        return os.path.basename(os.path.dirname(os.path.abspath(path))) or name
    return name


#: Options of the interpreter that take a value, and those that take none and may stand before: ``-c``, ``-um``.
_WITH_VALUE, _WITHOUT_VALUE = "cmWX", "bBdEiIOPqRsSuvx"


def python_target(arguments: "list[str]") -> "Optional[tuple[str, str, int]]":
    """What an interpreter was told to run.

    Returns:
        ``script``, ``m`` or ``c``; the script's path, the module's name or the code; and where the
        target's own arguments begin. None when there is no target.
    """
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        index += 1
        if argument == "-":
            return None
        if not argument.startswith("-"):
            return "script", argument, index
        options = argument[1:].lstrip(_WITHOUT_VALUE)
        letter, value = options[:1], options[1:]
        if not letter or letter not in _WITH_VALUE:
            index += argument == "--check-hash-based-pycs"
            continue
        if not value:
            if index == len(arguments):
                return None
            value = arguments[index]
            index += 1
        if letter in "cm":
            return letter, value, index
    return None


def _application(arguments: "list[str]") -> "Optional[str]":
    """The application among a server's arguments: ``shop.wsgi:app``, ``--app shop``, ``-A shop``."""
    for index, argument in enumerate(arguments):
        if argument in ("--app", "-A") and index + 1 < len(arguments):
            return _top(arguments[index + 1])
        if argument.startswith("--app="):
            return _top(argument[len("--app=") :])
    for argument in arguments:
        module, separator, rest = argument.partition(":")
        # What a port follows is where it listens.
        named = separator and not rest.isdigit() and not argument.startswith("-")
        if named and all(p.isidentifier() for p in module.split(".")):
            return _top(argument)
    return None


def _top(target: str) -> str:
    return _stem(target.partition(":")[0]).partition(".")[0]


#: uWSGI's options that say which application it serves: its module, or its file.
_UWSGI_OPTIONS = {"-w": _top, "--wsgi": _top, "--module": _top, "--wsgi-file": _script, "--file": _script}


def _of_uwsgi(arguments: "list[str]") -> "Optional[str]":
    """The application among uWSGI's arguments: ``-w shop.wsgi:app``, ``--wsgi-file=/srv/shop/wsgi.py``."""
    for argument, following in zip(arguments, [*arguments[1:], ""]):
        option, separator, value = argument.partition("=")
        named = _UWSGI_OPTIONS.get(option)
        if named is not None and (value or following):
            return named(value if separator else following)
    return None


def _stem(path: str) -> str:
    name = os.path.basename(path.rstrip("/"))
    return name[:-3] if name.endswith(".py") else name
