"""``pitviper run --info``: what the agent would do, and why."""

import os
import sys
from importlib.util import find_spec
from typing import Optional

from pitviper import _native, profiles
from pitviper import config as configuration
from pitviper._native import __version__
from pitviper.compat import datadog
from pitviper.instrument import Integration, engine
from pitviper.settings import Resolved

#: How long the server may take to answer, in seconds.
_TIMEOUT = 2.0


def show(command: "list[str]") -> int:
    """Prints the settings, the server's state and the integrations; 0 when all is well."""
    config = configuration.load(os.environ)
    if command and config.resolved["service"].source.startswith("guessed"):
        guessed = configuration.guess_service(command, os.environ)
        config.resolved["service"] = Resolved(guessed, "guessed from the command", config.resolved["service"].problems)
    write = sys.stdout.write
    write(f"pitviper {__version__}, Python {sys.version.split()[0]} at {sys.executable}\n\nSettings\n")
    for setting in configuration.SETTINGS:
        resolved = config.resolved[setting.name]
        value = "***" if setting.secret and resolved.value else resolved.value
        write(f"  {setting.name:<30} {value!s:<34} {resolved.source}\n")
        for problem in resolved.problems:
            write(f"    ! {problem}\n")

    ignored = datadog.not_followed(os.environ)
    if ignored:
        write(f"  ! variables of ddtrace that change nothing here: {', '.join(ignored)}\n")

    answer, well = _ask(config)
    state, fine = profiler(config)
    well = well and fine
    write(f"\nServer\n  {config.traces_url}: {answer}\n\nProfiler\n  {state}\n\nIntegrations\n")
    from pitviper.integrations._index import MODULES

    for name in MODULES:
        integration = engine.declared(name)
        state, fine = _state(integration, config)
        well = well and fine
        write(f"  {name:<12} {state}\n")
    return 0 if well and not config.problems else 1


def profiler(config: configuration.Config) -> "tuple[str, bool]":
    """What becomes of the profiler, and whether that is as it should be."""
    resolved = config.resolved["profiling_enabled"]
    # Only the interpreter itself can tell whether it is laid out as the profiler expects.
    problem = profiles.try_out(config)
    _native.profiler_stop()
    if not config["enabled"] or not resolved.value:
        source = config.resolved["enabled"].source if resolved.value else resolved.source
        return f"off by {source}; it {'works here' if problem is None else f'would not work here: {problem}'}", True
    if problem is not None:
        return f"not working here: {problem}", resolved.source == "default"
    begins = ", from the first span on" if resolved.value == profiles.AUTO else ""
    return f"on by {resolved.source}: {config['profiling_rate']} samples a second{begins}", True


def _state(integration: Integration, config: configuration.Config) -> "tuple[str, bool]":
    """What becomes of an integration, and whether that is as it should be."""
    off = _off(integration, config)
    if off is not None:
        return f"off: {off}", True
    # Only the library itself can tell whether everything is where the integration looks for it.
    failure = engine.trial(integration)
    if failure is not None:
        return f"failed: {failure}", False
    if integration.distribution is None:
        return "on: standard library" if integration.patches else "on: used by other integrations", True
    return f"on: {integration.distribution} {engine.installed_version(integration.distribution)}", True


def _off(integration: Integration, config: configuration.Config) -> Optional[str]:
    """Why an integration is not used, or None."""
    if not config["enabled"]:
        return f"the agent is off by {config.resolved['enabled'].source}"
    if integration.name in config["integrations_disabled"]:
        return f"disabled by {config.resolved['integrations_disabled'].source}"
    if integration.distribution is not None and engine.installed_version(integration.distribution) is None:
        return f"{integration.distribution} is not installed"
    if integration.distribution is None and integration.patches:
        # Of the standard library, or a library that several distributions bring.
        package = integration.patches[0].module.partition(".")[0]
        if find_spec(package) is None:
            return f"{package} is not installed"
    return engine.unsuitable(integration)


def _ask(config: configuration.Config) -> "tuple[str, bool]":
    """Sends an export without spans, which every OTLP receiver answers."""
    from urllib.error import HTTPError, URLError
    from urllib.request import ProxyHandler, Request, build_opener

    headers = {"content-type": "application/x-protobuf", **dict(config.headers())}
    request = Request(config.traces_url, data=b"", headers=headers, method="POST")
    # As the exporter does: no proxy to this machine.
    opener = build_opener(ProxyHandler({})) if "127.0.0.1" in config.traces_url else build_opener()
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            return f"answers ({response.status})", True
    except HTTPError as error:
        hint = "; set PITVIPER_TOKEN" if error.code in (401, 403) else ""
        return f"refuses ({error.code} {error.reason}){hint}", False
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"does not answer ({reason}); start pitviper-server or set PITVIPER_ENDPOINT", False
