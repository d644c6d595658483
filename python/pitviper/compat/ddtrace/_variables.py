"""``DD_`` variables: those that mean something here, and how they reach the agent's settings."""

from collections.abc import Mapping

#: Variables that the agent's own settings, its integrations' or this API follow.
FOLLOWED = frozenset(
    (
        "DD_ENV",
        "DD_LOGS_INJECTION",
        "DD_PATCH_MODULES",
        "DD_PROFILING_ENABLED",
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
_OF_INTEGRATIONS = ("DD_TRACE_", "_ENABLED")


def integration_of(variable: str) -> "str | None":
    """The integration of ddtrace that ``DD_TRACE_{INTEGRATION}_ENABLED`` is about; None for another variable."""
    first, last = _OF_INTEGRATIONS
    if not variable.startswith(first) or not variable.endswith(last) or variable == "DD_TRACE_ENABLED":
        return None
    return variable[len(first) : -len(last)].lower() or None


def not_followed(environ: "Mapping[str, str]") -> "list[str]":
    """The variables of ddtrace that are set and change nothing here."""
    from ._patch import ours

    def follows(name: str) -> bool:
        if name in FOLLOWED or name.startswith("DD_PROFILING_"):
            return True
        integration = integration_of(name)
        return integration is not None and bool(ours(integration))

    return sorted(name for name in environ if name.startswith("DD_") and not follows(name))


def left_alone(environ: "Mapping[str, str]") -> "list[str]":
    """Our integrations that ``DD_TRACE_{INTEGRATION}_ENABLED`` and ``DD_PATCH_MODULES`` switch off."""
    from pitviper.settings import flag, pairs

    from ._patch import ours

    given = {name: value for name, value in pairs(environ.get("DD_PATCH_MODULES", "")).items()}
    for variable, value in environ.items():
        integration = integration_of(variable)
        if integration is not None:
            given[integration] = value
    off: set[str] = set()
    for name, value in given.items():
        try:
            if not flag(value):
                off.update(ours(name))
        except ValueError:
            # Not a flag; it changes nothing, as in ddtrace.
            continue
    return sorted(off)
