"""What version 4 of ddtrace removed or discourages, and what takes its place."""

import warnings
from typing import Optional


class DDTraceDeprecationWarning(DeprecationWarning):
    """Warns of what a later version of ddtrace does without."""

    # As in ddtrace, so that filters of warnings that name it work.
    __module__ = "ddtrace"


def deprecate(what: str, instead: str, stacklevel: int = 3) -> None:
    """Warns that something is discouraged."""
    warnings.warn(f"{what} is deprecated: {instead}", DDTraceDeprecationWarning, stacklevel=stacklevel)


#: What modules had in earlier versions, by module; and what to use.
_NAMES = {
    "ddtrace": {
        "Span": "ddtrace.trace.Span",
        "Tracer": "ddtrace.trace.Tracer",
        "Pin": "DD_SERVICE, DD_SERVICE_MAPPING or ddtrace.config",
    },
    "ddtrace.trace": {"Pin": "DD_SERVICE, DD_SERVICE_MAPPING or ddtrace.config"},
}

#: Modules of earlier versions.
_MODULES = {
    "ddtrace.context": "ddtrace.trace.Context",
    "ddtrace.filters": "ddtrace.trace.TraceFilter",
    "ddtrace.opentracer": "OpenTelemetry's API (ddtrace.opentelemetry.TracerProvider)",
    "ddtrace.pin": "DD_SERVICE, DD_SERVICE_MAPPING or ddtrace.config",
    "ddtrace.provider": "ddtrace.trace.BaseContextProvider",
    "ddtrace.sampler": "DD_TRACE_SAMPLING_RULES",
    "ddtrace.settings": "ddtrace.config and DD_ variables",
    "ddtrace.span": "ddtrace.trace.Span",
    "ddtrace.tracer": "ddtrace.trace.Tracer",
    "ddtrace.tracing": "ddtrace.trace",
}

#: Attributes that objects had.
_SPAN = {
    "set_tag_str": "set_tag()",
    "set_struct_tag": "set_tag()",
    "get_struct_tag": "get_tag()",
    "finish_with_ancestors": "finish(), of each span",
    "pprint": "repr()",
    "_pprint": "repr()",
    "tracer": "ddtrace.trace.tracer",
}
_TRACER = {
    "on_start_span": "tracer.configure(trace_processors=[...])",
    "deregister_on_start_span": "tracer.configure(trace_processors=[...])",
    "get_call_context": "current_trace_context()",
    "write": "tracer.configure(trace_processors=[...])",
    "tags": "set_tags()",
    "sampler": "DD_TRACE_SAMPLING_RULES",
}
_OBJECTS = {"Span": _SPAN, "Tracer": _TRACER}


def _said(what: str, instead: str) -> str:
    return f"{what} was removed from ddtrace before version 4; use {instead}"


def removed_module(name: str) -> Optional[str]:
    """What to tell who imports a module, or a name of one, that is gone; None when it is not."""
    if name in _MODULES:
        return _said(name, _MODULES[name])
    module, _, attribute = name.rpartition(".")
    instead = _NAMES.get(module, {}).get(attribute)
    return None if instead is None else _said(name, instead)


def removed_attribute(owner: str, name: str) -> AttributeError:
    """What to raise for an attribute that an object or a module has not; names what to use if it once had it."""
    instead = _OBJECTS.get(owner, {}).get(name)
    if instead is not None:
        return AttributeError(_said(f"{owner}.{name}", instead))
    message = removed_module(f"{owner}.{name}")
    return AttributeError(message or f"{owner!r} has no attribute {name!r}")
