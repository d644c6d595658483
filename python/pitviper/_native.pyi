"""The native half of the agent: spans, context, export. Written in Rust."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal, final

__version__: str

@final
class SpanContext:
    """What a span tells others of itself."""

    def __new__(
        cls,
        trace_id: int,
        span_id: int,
        is_remote: bool = False,
        trace_flags: int = 1,
        trace_state: str | None = None,
    ) -> SpanContext: ...
    @property
    def trace_id(self) -> int: ...
    @property
    def span_id(self) -> int: ...
    @property
    def trace_id_hex(self) -> str: ...
    @property
    def span_id_hex(self) -> str: ...
    @property
    def trace_flags(self) -> int: ...
    @property
    def trace_state(self) -> str: ...
    @property
    def is_remote(self) -> bool: ...
    @property
    def is_valid(self) -> bool: ...

@final
class Span:
    """A span under way. Misuse does nothing and raises nothing."""

    def set_attribute(self, key: str, value: object) -> None: ...
    def set_attributes(self, attributes: Mapping[str, object]) -> None: ...
    def add_event(
        self, name: str, attributes: Mapping[str, object] | None = None, timestamp: int | None = None
    ) -> None: ...
    def add_link(self, context: object, attributes: Mapping[str, object] | None = None) -> None: ...
    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, object] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None: ...
    def set_status(self, code: object, description: str | None = None) -> None: ...
    def update_name(self, name: str) -> None: ...
    def end(self, end_time: int | None = None) -> None: ...
    def is_recording(self) -> bool: ...
    def is_ended(self) -> bool: ...
    def get_span_context(self) -> SpanContext: ...
    @property
    def context(self) -> SpanContext: ...
    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...
    def __enter__(self) -> Span: ...
    def __exit__(self, _exc_type: object, exc: object, _traceback: object) -> Literal[False]: ...

@final
class Statements:
    """Makes the spans of the statements that go to one database.

    Raises:
        ValueError: ``system`` is no SQL database that is known.
    """

    def __new__(cls, scope: str, system: str, attributes: Mapping[str, object] | None = None) -> Statements: ...
    def finish(
        self,
        statement: object,
        start_time: int,
        exc: BaseException | None = None,
        batch: int = 0,
        status: object = None,
    ) -> None: ...
    @property
    def forgotten(self) -> int: ...

def describe_statement(statement: object, system: str) -> tuple[str, str, str]: ...
def configure(
    *,
    endpoint: str,
    resource: Mapping[str, object],
    headers: list[tuple[str, str]] | None = None,
    compression: str = "auto",
    sampler: str = "parentbased_traceidratio",
    sampler_arg: float = 1.0,
    timeout_ms: int = 10_000,
    schedule_delay_ms: int = 1_000,
    max_queue_spans: int = 16_384,
    max_batch_spans: int = 2_048,
    attribute_count_limit: int = 128,
    attribute_value_length_limit: int | None = None,
    event_count_limit: int = 128,
    link_count_limit: int = 128,
    enabled: bool = True,
) -> None: ...
def configure_signals(
    *,
    metrics_enabled: bool,
    runtime_metrics: bool,
    metrics_url: str,
    metrics_headers: list[tuple[str, str]],
    metrics_interval_ms: int,
    temporality: str,
    exemplars: str,
    logs_enabled: bool,
    logs_url: str,
    logs_headers: list[tuple[str, str]],
    logs_delay_ms: int,
    max_queue_logs: int,
    max_batch_logs: int,
) -> None: ...
def start_span(
    name: str,
    kind: object = None,
    attributes: Mapping[str, object] | None = None,
    parent: Span | SpanContext | object | None = None,
    start_time: int | None = None,
    links: Iterable[object] | None = None,
    scope: str = "",
) -> Span: ...
def start_as_current_span(
    name: str,
    kind: object = None,
    attributes: Mapping[str, object] | None = None,
    parent: Span | SpanContext | object | None = None,
    start_time: int | None = None,
    links: Iterable[object] | None = None,
    scope: str = "",
) -> Span: ...
def finish_leaf(
    name: str,
    kind: int,
    start_time: int,
    attributes: Mapping[str, object] | None = None,
    exc: BaseException | None = None,
    scope: str = "",
) -> None: ...
def current_span() -> Span | None: ...
def activate(span: Span | SpanContext | None) -> Any: ...
def deactivate(token: Any) -> None: ...
def inject() -> str | None: ...
def inject_into(headers: MutableMapping[str, Any]) -> None: ...
def extract(traceparent: str | None, tracestate: str | None = None) -> SpanContext | None: ...
def set_scope_version(name: str, version: str) -> None: ...
def now() -> int: ...
def flush(timeout_ms: int = 5_000) -> bool: ...
def shutdown(timeout_ms: int = 5_000) -> bool: ...
def stats() -> dict[str, int]: ...
def before_fork() -> None: ...
def after_fork_parent() -> None: ...
def after_fork_child() -> None: ...
def set_companion_hook(hook: Callable[[str], Any]) -> None: ...
def companion_wanted(*, observing: bool | None = None, libraries: bool | None = None) -> None: ...
def gc_event(phase: str, info: dict[str, int]) -> None: ...
def seed_gc(stats: list[dict[str, int]]) -> None: ...
def record_event_loop_lag(seconds: float) -> None: ...
def set_worker(kind: str, name: str) -> None: ...
def machine_attributes() -> dict[str, str | list[str]]: ...
def emit_record(record: object) -> None: ...
def emit_log(
    *,
    body: object = None,
    timestamp: int | None = None,
    observed_timestamp: int | None = None,
    severity_number: int = 0,
    severity_text: str | None = None,
    attributes: Mapping[str, object] | None = None,
    event_name: str | None = None,
    exception: BaseException | None = None,
    span_context: object | None = None,
    scope_name: str = "",
    scope_version: str = "",
    scope_attributes: Mapping[str, object] | None = None,
) -> None: ...

@final
class Instrument:
    """A stream of measurements. Misuse does nothing and raises nothing."""

    def __new__(
        cls,
        name: str,
        kind: str,
        aggregation: str,
        unit: str = "",
        description: str = "",
        scope_name: str = "",
        scope_version: str = "",
        scope_attributes: Mapping[str, object] | None = None,
        bounds: list[float] | None = None,
        max_size: int = 160,
        max_scale: int = 20,
        attribute_keys: list[str] | None = None,
    ) -> Instrument: ...
    def record(
        self, amount: object, attributes: Mapping[str, object] | None = None, span_context: object | None = None
    ) -> bool: ...
    def observe(self, observations: list[tuple[object, Mapping[str, object] | None]]) -> None: ...
