"""Settings of metrics and logs, and how they reach the native half."""

from pitviper import _native
from pitviper.settings import Setting, count, flag, one_of, pairs, text, url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pitviper.config import Config

_TEMPORALITIES = ("cumulative", "delta", "lowmemory")
_EXEMPLAR_FILTERS = ("trace_based", "always_on", "always_off")
_HISTOGRAMS = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
_LEVELS = {"notset": 0, "debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def exported(value: str) -> bool:
    """true or false; or OpenTelemetry's name of an exporter, of which otlp is ours."""
    name = text(value).lower()
    if name in ("none", "otlp"):
        return name == "otlp"
    try:
        return flag(name)
    except ValueError:
        raise ValueError("use true, false, otlp or none") from None


SETTINGS = (
    Setting(
        "metrics_enabled",
        True,
        exported,
        "PITVIPER_METRICS_ENABLED OTEL_METRICS_EXPORTER",
        "Whether metrics are collected and sent.",
    ),
    Setting(
        "runtime_metrics",
        True,
        flag,
        "PITVIPER_RUNTIME_METRICS_ENABLED DD_RUNTIME_METRICS_ENABLED",
        "Whether CPU, memory, garbage collection and the like of the process are measured.",
    ),
    Setting(
        "metrics_interval_ms",
        10_000,
        count,
        "PITVIPER_METRICS_INTERVAL OTEL_METRIC_EXPORT_INTERVAL",
        "How often metrics are collected, in ms.",
    ),
    Setting(
        "metrics_endpoint",
        None,
        url,
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "Full URL for metrics; used as it is.",
    ),
    Setting(
        "metrics_headers",
        {},
        pairs,
        "PITVIPER_HEADERS OTEL_EXPORTER_OTLP_METRICS_HEADERS OTEL_EXPORTER_OTLP_HEADERS",
        "Headers sent with metrics, as a=b,c=d. Never shown.",
        secret=True,
    ),
    Setting(
        "metrics_temporality",
        "cumulative",
        one_of(*_TEMPORALITIES),
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "What sums and histograms count from: cumulative, delta or lowmemory.",
    ),
    Setting(
        "metrics_histogram",
        "explicit_bucket_histogram",
        one_of(*_HISTOGRAMS),
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "How histograms are kept that nobody gave buckets.",
    ),
    Setting(
        "exemplar_filter",
        "trace_based",
        one_of(*_EXEMPLAR_FILTERS),
        "OTEL_METRICS_EXEMPLAR_FILTER",
        "Which measurements are kept as examples: those in sampled traces, all, or none.",
    ),
    Setting(
        "logs_enabled",
        True,
        exported,
        "PITVIPER_LOGS_ENABLED OTEL_LOGS_EXPORTER",
        "Whether records of logging are sent.",
    ),
    Setting(
        "logs_level",
        "info",
        one_of(*_LEVELS),
        "PITVIPER_LOGS_LEVEL",
        "The least level that is sent, of what the application's loggers let through.",
    ),
    Setting("logs_endpoint", None, url, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "Full URL for logs; used as it is."),
    Setting(
        "logs_headers",
        {},
        pairs,
        "PITVIPER_HEADERS OTEL_EXPORTER_OTLP_LOGS_HEADERS OTEL_EXPORTER_OTLP_HEADERS",
        "Headers sent with logs, as a=b,c=d. Never shown.",
        secret=True,
    ),
    Setting("logs_delay_ms", 1_000, count, "OTEL_BLRP_SCHEDULE_DELAY", "Longest wait of a log record, in ms."),
    Setting("max_queue_logs", 16_384, count, "OTEL_BLRP_MAX_QUEUE_SIZE", "Log records that may wait."),
    Setting("max_batch_logs", 2_048, count, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "Log records in one export."),
    Setting(
        "libraries",
        True,
        flag,
        "PITVIPER_LIBRARIES_ENABLED",
        "Whether the installed distributions are reported, once, as a log event.",
    ),
)


def configure(config: "Config") -> None:
    """Hands the settings of metrics and logs to the native half."""
    base = config["endpoint"].rstrip("/")
    _native.configure_signals(
        metrics_enabled=config["enabled"] and config["metrics_enabled"],
        runtime_metrics=config["runtime_metrics"],
        metrics_url=config["metrics_endpoint"] or f"{base}/v1/metrics",
        metrics_headers=_headers(config, "metrics_headers"),
        metrics_interval_ms=config["metrics_interval_ms"],
        temporality=config["metrics_temporality"],
        exemplars=config["exemplar_filter"],
        logs_enabled=config["enabled"] and config["logs_enabled"],
        logs_url=config["logs_endpoint"] or f"{base}/v1/logs",
        logs_headers=_headers(config, "logs_headers"),
        logs_delay_ms=config["logs_delay_ms"],
        max_queue_logs=config["max_queue_logs"],
        max_batch_logs=config["max_batch_logs"],
    )


def reports_libraries(config: "Config") -> bool:
    """Whether distributions are reported: not where nobody takes logs."""
    logs = config.resolved["logs_enabled"]
    return config["enabled"] and config["libraries"] and (logs.value or logs.source != "OTEL_LOGS_EXPORTER")


def level_number(config: "Config") -> int:
    """The least level of ``logging`` that is sent."""
    return _LEVELS[config["logs_level"]]


def _headers(config: "Config", name: str) -> "list[tuple[str, str]]":
    given: dict[str, str] = config[name]
    # What is given to init() is for all signals, unless it is given for this one.
    if config.resolved["headers"].source == "init()" and config.resolved[name].source != "init()":
        given = config["headers"]
    headers = list(given.items())
    if config["token"]:
        headers.append(("authorization", f"Bearer {config['token']}"))
    return headers
