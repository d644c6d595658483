"""Starting and stopping the agent in this process."""

import atexit
import os
import sys

from pitviper import _native, compat, profiles, remote, runtime, signals
from pitviper._guard import internal_error, say
from pitviper.config import Config, load
from pitviper.resource import resource_attributes
from pitviper.settings import pairs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

#: The settings in force, and those of this process alone.
_config: "Optional[Config]" = None
_own: "Optional[Config]" = None
#: Whether init() was called.
_started = False
_serves_opentelemetry = False
_watches_exit = False
#: Complaints that were shown; an application that calls init() again has seen them.
_said: "set[str]" = set()


def init(**settings: "Any") -> None:
    """Starts the agent: reads the settings, and instruments libraries as they are imported.

    Calling it again changes settings. It starts no thread; the exporter begins with the first
    finished span.

    Args:
        **settings: Settings by name, as listed in :mod:`pitviper.config`; they count more than
            environment variables. For example ``service="shop"``.

    Raises:
        TypeError: A name is no setting.
        ValueError: A value given here makes no sense. Variables that cannot be followed are named on
            standard error, and do not count.
    """
    global _started
    config = _configure(settings)
    first = not _started
    _started = True
    if not first:
        return
    if config["enabled"]:
        _instrument(config)
    else:
        # Code that was written for another agent's API imports it all the same.
        compat.install(config["compat"])
    _profile(config)


def ensure_configured() -> None:
    """Reads the settings unless that has happened, and instruments nothing: for an application that uses
    the agent's API alone."""
    if _config is None:
        _configure({})


def configured() -> Config:
    """The settings in force, read now unless that has happened."""
    return _configure({}) if _config is None else _config


def is_started() -> bool:
    """Whether :func:`init` has been called."""
    return _started


def _follow(told: str) -> None:
    """Takes settings that the server has told."""
    if _own is None or not remote.take(told):
        return
    config = _put_in_force(_own)
    if _started and "PITVIPER_PROFILE" not in os.environ:
        profiles.follow(config)


def _configure(settings: "dict[str, Any]") -> Config:
    config = load(os.environ, settings)
    for problem in config.problems:
        if problem not in _said:
            _said.add(problem)
            say(problem)
    return _put_in_force(config)


def _put_in_force(own: Config) -> Config:
    global _config, _own
    _own = own
    config = remote.lay_over(own)
    sampler, sampler_arg = config.sampler()
    _native.configure(
        endpoint=config.traces_url,
        resource=resource_attributes(config),
        headers=config.headers(),
        compression=config["compression"],
        sampler=sampler,
        sampler_arg=sampler_arg,
        timeout_ms=config["timeout_ms"],
        schedule_delay_ms=config["schedule_delay_ms"],
        max_queue_spans=config["max_queue_spans"],
        max_batch_spans=config["max_batch_spans"],
        remote_settings=config["remote_settings"],
        remote_settings_interval_ms=int(config["remote_settings_interval"] * 1000),
        attribute_count_limit=config["attribute_count_limit"],
        event_attribute_count_limit=config["event_attribute_count_limit"],
        link_attribute_count_limit=config["link_attribute_count_limit"],
        attribute_value_length_limit=config["attribute_value_length_limit"],
        span_attribute_value_length_limit=config["span_attribute_value_length_limit"],
        event_count_limit=config["event_count_limit"],
        link_count_limit=config["link_count_limit"],
        extract=config.formats("extract"),
        inject=config.formats("inject"),
        baggage_attributes=config["baggage_attributes"],
        enabled=config["enabled"],
    )
    signals.configure(config)
    _config = config
    runtime.start(config)
    runtime.when_told(_follow)
    if config["enabled"]:
        watch_exit()
    return config


def watch_exit() -> None:
    """Has what waits sent when the interpreter ends."""
    global _watches_exit
    _native.send_before_exit(exit_timeout_ms())
    if not _watches_exit:
        _watches_exit = True
        atexit.register(_at_exit)


def _profile(config: Config) -> None:
    """Starts the profiler where the settings say so."""
    try:
        plan = os.environ.get("PITVIPER_PROFILE")
        if plan:
            from pitviper.profiling import _local

            _local.start(config, plan)
        else:
            profiles.follow(config)
    except Exception as error:
        internal_error(error)


def _instrument(config: Config) -> None:
    from pitviper.instrument import engine

    try:
        disabled = frozenset[str](config["integrations_disabled"])
        engine.install(disabled)
        if "opentelemetry" not in disabled:
            engine.when_imported("opentelemetry.trace", _serve_opentelemetry)
            engine.when_imported("opentelemetry.propagate", _serve_propagation)
            engine.when_imported("opentelemetry.instrumentation.instrumentor", _own_libraries)
        _serve_others(config)
        flush_in_children()
        if "subprocess" not in disabled:
            _continue_trace()
        if "oneagent" not in disabled:
            # For C code in this process, such as an extension module, that was written for the OneAgent SDK.
            _native.share_onesdk()
        engine.when_imported("opentelemetry.metrics", _offer_meter_provider)
        engine.when_imported("opentelemetry._logs", _offer_logger_provider)
    except Exception as error:
        internal_error(error)


def _serve_others(config: Config) -> None:
    """The APIs of other agents, and what their variables ask of every trace."""
    compat.install(config["compat"])
    if "ddtrace" in config["compat"]:
        from pitviper.compat import datadog

        datadog.mark_logs()
    mapping = os.environ.get("DD_SERVICE_MAPPING")
    if mapping:
        from pitviper.compat import datadog

        datadog.map_services(pairs(mapping))
    if any(name.startswith("DD_") and name.endswith("_DISTRIBUTED_TRACING") for name in os.environ):
        from pitviper.compat import datadog

        datadog.follow_distribution(os.environ)
    # A rate or a sampler that was set for this agent counts more.
    if os.environ.get("DD_TRACE_SAMPLING_RULES") and config.is_sampler_default:
        from pitviper.compat.ddtrace import _whole

        _whole.follow_rules()


def _continue_trace() -> None:
    """Takes over the trace of the process that started this one, if linking of subprocesses is on."""
    handed_over = _native.extract(os.environ, 2)
    if handed_over is None:
        return
    from pitviper.instrument import option
    from pitviper.integrations import _link, subprocess

    if option(subprocess.INTEGRATION, "linking"):
        _link.take_over(handed_over)


def _serve_opentelemetry() -> None:
    """The application, or a library it uses, brings OpenTelemetry's API: its tracers are ours."""
    global _serves_opentelemetry
    _serves_opentelemetry = True
    try:
        package = sys.modules.get("pitviper.opentelemetry")
        # While it is being imported, it installs itself when it is ready.
        if package is None or hasattr(package, "__all__"):
            from pitviper.opentelemetry import _global

            _global.install()
    except Exception as error:
        internal_error(error)


def _serve_propagation() -> None:
    """The application, or a library it uses, hands contexts on through OpenTelemetry's API."""
    from pitviper.opentelemetry import _propagate

    _propagate.install()


def _own_libraries() -> None:
    """The application uses instrumentations that OpenTelemetry publishes."""
    from pitviper.opentelemetry import _owners

    _owners.install()


def serves_opentelemetry() -> bool:
    """Whether tracers of OpenTelemetry's API are to be ours."""
    return _serves_opentelemetry


def current_config() -> "Optional[Config]":
    """The settings in force, or None before :func:`init`."""
    return _config


def flush(timeout: float = 5.0) -> bool:
    """Sends all finished spans and log records now, collects and sends metrics, and what was profiled so far.

    Args:
        timeout: How long to wait, in seconds.

    Returns:
        Whether a server took them in time.
    """
    runtime.observe()
    profiles.name_threads()
    return _native.flush(int(timeout * 1000))


def shutdown(timeout: float = 5.0) -> bool:
    """Sends all finished spans, log records, metrics and the last profile, and records no more.

    Args:
        timeout: How long to wait, in seconds. What it leaves no time for is dropped and counted.

    Returns:
        Whether everything was sent.
    """
    runtime.observe()
    profiles.ending()
    sent = _native.shutdown(int(timeout * 1000))
    profiles.ended()
    return sent


def exit_timeout_ms() -> int:
    """How long the end of the process may wait for the last spans to be sent, in milliseconds."""
    return 0 if _config is None else _config["exit_timeout_ms"]


def _at_exit() -> None:
    runtime.observe()
    profiles.ending()
    _native.finish(exit_timeout_ms())
    profiles.ended()


def _offer_meter_provider() -> None:
    from pitviper.opentelemetry import metrics

    metrics.offer()


def _offer_logger_provider() -> None:
    from pitviper.opentelemetry import logs

    logs.offer()


def flush_in_children() -> None:
    """Has children of multiprocessing send what they have when they end."""
    from pitviper.instrument import engine

    # billiard is Celery's fork of multiprocessing.
    for util in ("multiprocessing.util", "billiard.util"):
        engine.when_imported(util, lambda util=util: _flush_in_children_of(util))


def _flush_in_children_of(module: str) -> None:
    """A multiprocessing child leaves through ``os._exit``, which runs no exit handlers but its own; and is profiled."""
    util = sys.modules[module]

    def register_finalizer(_: object) -> None:
        util.Finalize(None, _at_exit, exitpriority=-100)
        profiles.begin_worker()

    # The registry keeps weak references; a module lives as long as anything does.
    util.register_after_fork(sys.modules[__name__], register_finalizer)
