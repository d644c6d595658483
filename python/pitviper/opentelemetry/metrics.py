"""OpenTelemetry's MeterProvider, with the agent's native registry behind it.

It needs the distribution ``opentelemetry-api`` and not the SDK. In an application that runs under the agent
``opentelemetry.metrics.get_meter()`` leads here by itself; to have views::

    from opentelemetry import metrics
    from pitviper.opentelemetry.metrics import MeterProvider, View

    metrics.set_meter_provider(MeterProvider(views=[View(instrument_name="http.*", attribute_keys={"http.route"})]))

Measurements add up natively and are sent every ``PITVIPER_METRICS_INTERVAL``. Callbacks of observable
instruments run in a thread of the agent's just before that, from the process's first span, log record or
measurement on.
"""

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any, Callable, Optional, Union

from pitviper import _native, runtime
from pitviper._guard import internal_error, say

# Not by an import statement: types must check on a machine without the API too.
metrics: Any = import_module("opentelemetry.metrics")
api: Any = import_module("opentelemetry.metrics._internal")
trace: Any = import_module("opentelemetry.trace")

Attributes = Optional[Mapping[str, Any]]

#: OpenTelemetry's bounds for histograms that nobody gave any.
DEFAULT_BOUNDS = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000)
#: The name of ours among the entry points, and its variable.
_ENTRY_POINT, _VARIABLE = "pitviper", "OTEL_PYTHON_METER_PROVIDER"
#: How long a callback may take, in milliseconds, as it is told.
_CALLBACK_TIMEOUT_MS = 10_000


class Aggregation:
    """How measurements become points."""

    name = ""

    def arguments(self) -> "dict[str, Any]":
        """What the native instrument is told of it."""
        return {}


class DefaultAggregation(Aggregation):
    """What OpenTelemetry prescribes for the kind of instrument."""


class DropAggregation(Aggregation):
    """None: nothing is measured."""


class SumAggregation(Aggregation):
    """Their sum."""

    name = "sum"


class LastValueAggregation(Aggregation):
    """The last of them."""

    name = "last_value"


class ExplicitBucketHistogramAggregation(Aggregation):
    """Their distribution over buckets.

    Args:
        boundaries: Upper bounds of the buckets, growing.
        record_min_max: Taken for compatibility; the least and greatest value are always kept.
    """

    name = "histogram"

    def __init__(self, boundaries: Optional[Sequence[float]] = None, record_min_max: bool = True) -> None:
        self.boundaries = [float(bound) for bound in (DEFAULT_BOUNDS if boundaries is None else boundaries)]

    def arguments(self) -> "dict[str, Any]":
        return {"bounds": self.boundaries}


class ExponentialBucketHistogramAggregation(Aggregation):
    """Their distribution over buckets as fine as fit.

    Args:
        max_size: Most buckets on either side of zero.
        max_scale: The finest scale, at most 20.
    """

    name = "exponential"

    def __init__(self, max_size: int = 160, max_scale: int = 20) -> None:
        self.max_size = max_size
        self.max_scale = max_scale

    def arguments(self) -> "dict[str, Any]":
        return {"max_size": self.max_size, "max_scale": self.max_scale}


class View:
    """Changes what is made of the instruments it fits. All criteria that are given have to fit.

    Args:
        instrument_type: The class of instruments it is for.
        instrument_name: Their name; ``*`` and ``?`` stand for any characters.
        meter_name: The name of their meter.
        meter_version: Its version.
        meter_schema_url: Its schema URL.
        instrument_unit: Their unit.
        name: What the stream is called instead.
        description: What describes it instead.
        attribute_keys: The attributes that are kept; all when not given.
        aggregation: How measurements become points.

    Raises:
        ValueError: There is no criterion, or a new name for what may be several instruments.
    """

    def __init__(
        self,
        instrument_type: Optional[type] = None,
        instrument_name: Optional[str] = None,
        meter_name: Optional[str] = None,
        meter_version: Optional[str] = None,
        meter_schema_url: Optional[str] = None,
        name: Optional[str] = None,
        description: Optional[str] = None,
        attribute_keys: "Optional[Iterable[str]]" = None,
        aggregation: Optional[Aggregation] = None,
        instrument_unit: Optional[str] = None,
    ) -> None:
        criteria = (instrument_type, instrument_name, meter_name, meter_version, meter_schema_url, instrument_unit)
        if all(criterion is None for criterion in criteria):
            raise ValueError("a view needs at least one criterion, such as instrument_name")
        if name is not None and (instrument_name is None or "*" in instrument_name or "?" in instrument_name):
            raise ValueError(f"view {name!r} would give one name to several instruments; name the instrument")
        self._instrument_type = instrument_type
        self._instrument_name = instrument_name
        self._instrument_unit = instrument_unit
        self._meter = (meter_name, meter_version, meter_schema_url)
        self.name = name
        self.description = description
        self.attribute_keys = None if attribute_keys is None else sorted(set(attribute_keys))
        self.aggregation = aggregation if aggregation is not None else DefaultAggregation()

    def fits(self, instrument_type: type, name: str, unit: str, meter: "Meter") -> bool:
        """Whether it is for this instrument."""
        if self._instrument_type is not None and not issubclass(instrument_type, self._instrument_type):
            return False
        if self._instrument_name is not None and not fnmatchcase(name.lower(), self._instrument_name.lower()):
            return False
        if self._instrument_unit is not None and self._instrument_unit != unit:
            return False
        actual = (meter.name, meter.version, meter.schema_url)
        return all(wanted is None or wanted == found for wanted, found in zip(self._meter, actual))


def _context_of(context: Any) -> Any:
    """The span context that a measurement is to be linked to; None for the current one."""
    return None if context is None else trace.get_current_span(context).get_span_context()


class _Sync:
    """What the synchronous instruments have in common: the streams they feed, most often one."""

    def __init__(self, streams: "list[_native.Instrument]") -> None:
        self._streams = streams

    def _take(self, amount: Any, attributes: Attributes, context: Any) -> None:
        span_context = _context_of(context)
        for stream in self._streams:
            stream.record(amount, attributes, span_context)


class Counter(_Sync, metrics.Counter):
    """Adds up what only grows."""

    def add(self, amount: Union[int, float], attributes: Attributes = None, context: Any = None) -> None:
        """Adds an amount, which is not negative."""
        self._take(amount, attributes, context)


class UpDownCounter(_Sync, metrics.UpDownCounter):
    """Adds up what goes up and down."""

    def add(self, amount: Union[int, float], attributes: Attributes = None, context: Any = None) -> None:
        """Adds an amount."""
        self._take(amount, attributes, context)


class Histogram(_Sync, metrics.Histogram):
    """The distribution of values."""

    def record(self, amount: Union[int, float], attributes: Attributes = None, context: Any = None) -> None:
        """Takes a value, which is not negative."""
        self._take(amount, attributes, context)


#: What a gauge is in API versions before 1.23, where it was private.
_GaugeBase: Any = getattr(metrics, "Gauge", None) or metrics._Gauge


class Gauge(_Sync, _GaugeBase):
    """The last value."""

    def set(self, amount: Union[int, float], attributes: Attributes = None, context: Any = None) -> None:
        """Sets the value."""
        self._take(amount, attributes, context)


class _Observable:
    """What the observable instruments have in common."""

    def __init__(self, streams: "list[_native.Instrument]") -> None:
        self._streams = streams
        self._callbacks: list[Callable[[Any], Any]] = []

    def add_callbacks(self, callbacks: Optional[Iterable[Any]]) -> None:
        """Takes callbacks: functions that return observations, or generators that yield lists of them."""
        for callback in callbacks or ():
            if hasattr(callback, "send"):
                # Runs to its first `yield`, which takes the options of the first collection.
                next(callback)
                self._callbacks.append(callback.send)
            else:
                self._callbacks.append(callback)

    def observe(self) -> None:
        """Runs the callbacks and takes what they return."""
        options = metrics.CallbackOptions(timeout_millis=_CALLBACK_TIMEOUT_MS)
        observations: list[tuple[object, Attributes]] = []
        for callback in self._callbacks:
            try:
                observations += [(item.value, item.attributes) for item in callback(options) or ()]
            except Exception as error:
                # The application's own error; the other callbacks still count.
                _say_once(callback, error)
        for stream in self._streams:
            stream.observe(observations)


_said: "set[str]" = set()


def _say_once(callback: Any, error: Exception) -> None:
    name = getattr(callback, "__qualname__", type(callback).__name__)
    if name not in _said:
        _said.add(name)
        say(f"callback {name} of an observable instrument failed: {type(error).__name__}: {error}")


class ObservableCounter(_Observable, metrics.ObservableCounter):
    """A sum that only grows, observed."""


class ObservableUpDownCounter(_Observable, metrics.ObservableUpDownCounter):
    """A sum that goes up and down, observed."""


class ObservableGauge(_Observable, metrics.ObservableGauge):
    """A value, observed."""


#: For each class its native name and its aggregation, where that is not a histogram's.
_KINDS: "dict[type, tuple[str, str]]" = {
    Counter: ("counter", "sum"),
    UpDownCounter: ("up_down_counter", "sum"),
    Histogram: ("histogram", ""),
    Gauge: ("gauge", "last_value"),
    ObservableCounter: ("observable_counter", "sum"),
    ObservableUpDownCounter: ("observable_up_down_counter", "sum"),
    ObservableGauge: ("observable_gauge", "last_value"),
}


class Meter(metrics.Meter):
    """Makes instruments. One that was made before is handed out again."""

    def __init__(
        self,
        provider: "MeterProvider",
        name: str,
        version: Optional[str],
        schema_url: Optional[str],
        attributes: Attributes,
    ) -> None:
        super().__init__(name, version=version, schema_url=schema_url)  # pyright: ignore[reportUnknownMemberType]
        self._provider = provider
        self._attributes = attributes
        self._made: dict[tuple[type, str, str, str], Any] = {}

    def _make(
        self,
        kind: Any,
        name: str,
        unit: Optional[str],
        description: Optional[str],
        bounds: Optional[Sequence[float]] = None,
        callbacks: Optional[Iterable[Any]] = None,
    ) -> Any:
        unit, description = unit or "", description or ""
        checked = metrics.Instrument._check_name_unit_description(name, unit, description)
        if checked["name"] is None or checked["unit"] is None:
            what = "name" if checked["name"] is None else f"unit {unit!r}"
            say(f"metric {name!r} is not measured: OpenTelemetry does not allow its {what}")
            return kind([])
        key = (kind, name.lower(), unit, description)
        instrument = self._made.get(key)
        if instrument is None:
            instrument = kind(self._streams(kind, name, unit, description, bounds))
            self._made[key] = instrument
            if isinstance(instrument, _Observable):
                self._provider.observe(instrument.observe)
        if callbacks is not None:
            try:
                instrument.add_callbacks(callbacks)
            except Exception as error:
                say(f"callbacks of metric {name!r} are ignored: {type(error).__name__}: {error}")
        return instrument

    def _streams(
        self, kind: type, name: str, unit: str, description: str, bounds: Optional[Sequence[float]]
    ) -> "list[_native.Instrument]":
        views = [view for view in self._provider.views if view.fits(kind, name, unit, self)]
        streams: list[_native.Instrument] = []
        for view in views or (None,):
            aggregation = view.aggregation if view is not None else DefaultAggregation()
            if isinstance(aggregation, DropAggregation):
                continue
            if not aggregation.name:
                aggregation = self._provider.default_aggregation(_KINDS[kind][1], bounds)
            try:
                stream = _native.Instrument(
                    (view.name if view is not None else None) or name,
                    _KINDS[kind][0],
                    aggregation.name,
                    unit=unit,
                    description=(view.description if view is not None else None) or description,
                    scope_name=self.name or "",
                    scope_version=self.version or "",
                    scope_attributes=self._attributes,
                    attribute_keys=view.attribute_keys if view is not None else None,
                    **aggregation.arguments(),
                )
            except ValueError as error:
                say(f"metric {name!r} is not measured: {error}")
                continue
            streams.append(stream)
        return streams

    def create_counter(self, name: str, unit: str = "", description: str = "") -> Counter:
        """A sum that only grows."""
        return self._make(Counter, name, unit, description)

    def create_up_down_counter(self, name: str, unit: str = "", description: str = "") -> UpDownCounter:
        """A sum that goes up and down."""
        return self._make(UpDownCounter, name, unit, description)

    def create_histogram(
        self,
        name: str,
        unit: str = "",
        description: str = "",
        *,
        explicit_bucket_boundaries_advisory: Optional[Sequence[float]] = None,
    ) -> Histogram:
        """A distribution of values."""
        return self._make(Histogram, name, unit, description, bounds=explicit_bucket_boundaries_advisory)

    def create_gauge(self, name: str, unit: str = "", description: str = "") -> Gauge:
        """A last value."""
        return self._make(Gauge, name, unit, description)

    def create_observable_counter(
        self, name: str, callbacks: Optional[Sequence[Any]] = None, unit: str = "", description: str = ""
    ) -> ObservableCounter:
        """A sum that only grows, read by callbacks."""
        return self._make(ObservableCounter, name, unit, description, callbacks=callbacks)

    def create_observable_up_down_counter(
        self, name: str, callbacks: Optional[Sequence[Any]] = None, unit: str = "", description: str = ""
    ) -> ObservableUpDownCounter:
        """A sum that goes up and down, read by callbacks."""
        return self._make(ObservableUpDownCounter, name, unit, description, callbacks=callbacks)

    def create_observable_gauge(
        self, name: str, callbacks: Optional[Sequence[Any]] = None, unit: str = "", description: str = ""
    ) -> ObservableGauge:
        """A value, read by callbacks."""
        return self._make(ObservableGauge, name, unit, description, callbacks=callbacks)


class MeterProvider(metrics.MeterProvider):
    """Makes meters.

    Args:
        metric_readers: Taken for compatibility; metrics are sent by the agent.
        resource: Taken for compatibility; metrics have the agent's resource.
        exemplar_filter: Taken for compatibility; ``OTEL_METRICS_EXEMPLAR_FILTER`` counts.
        shutdown_on_exit: Taken for compatibility; the agent sends what waits at the process's end.
        views: What is made of which instruments.
    """

    def __init__(
        self,
        metric_readers: Sequence[object] = (),
        resource: Optional[object] = None,
        exemplar_filter: Optional[object] = None,
        shutdown_on_exit: bool = True,
        views: Sequence[View] = (),
    ) -> None:
        from pitviper import bootstrap

        if bootstrap.current_config() is None:
            bootstrap.init()
        self.views = tuple(views)
        self._meters: dict[Any, Meter] = {}
        self._observers: list[Callable[[], None]] = []
        self._is_shut_down = False

    def get_meter(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Attributes = None,
    ) -> Any:
        """The meter of a library; the same one for the same arguments."""
        if self._is_shut_down:
            return metrics.NoOpMeter(name or "", version=version, schema_url=schema_url)
        key = (name, version, schema_url, tuple(sorted(attributes.items(), key=str)) if attributes else ())
        meter = self._meters.get(key)
        if meter is None:
            meter = self._meters[key] = Meter(self, name or "", version, schema_url, attributes)
        return meter

    def default_aggregation(self, name: str, bounds: Optional[Sequence[float]]) -> Aggregation:
        """What is made of an instrument that no view says anything of."""
        if name == "sum":
            return SumAggregation()
        if name == "last_value":
            return LastValueAggregation()
        from pitviper import bootstrap

        config = bootstrap.current_config()
        if bounds is None and config is not None and config["metrics_histogram"].startswith("base2"):
            return ExponentialBucketHistogramAggregation()
        return ExplicitBucketHistogramAggregation(bounds)

    def observe(self, observer: Callable[[], None]) -> None:
        """Has an observable instrument read whenever metrics are collected."""
        self._observers.append(observer)
        runtime.add_observer(observer)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Collects and sends metrics now; whether a server took them in time."""
        import pitviper

        return pitviper.flush(timeout_millis / 1_000)

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """Sends what there is, and makes no more meters that measure."""
        if not self._is_shut_down:
            self._is_shut_down = True
            self.force_flush(timeout_millis)
            self.stop_observing()

    def stop_observing(self) -> None:
        """Reads observable instruments no more."""
        for observer in self._observers:
            runtime.remove_observer(observer)
        self._observers.clear()


class _DefaultMeter(api._ProxyMeter):
    """A meter that an application gets before it has set a provider, if it ever does: its instruments are ours
    until then, and the application's from then on."""

    def __init__(self, meter: Any) -> None:
        name, version, schema_url = meter.name, meter.version, meter.schema_url
        super().__init__(name, version=version, schema_url=schema_url)  # pyright: ignore[reportUnknownMemberType]
        self._ours = meter

    def _bound(self, proxy: Any) -> Any:
        if self._real_meter is None:
            proxy.on_meter_set(self._ours)
        return proxy


def _binding(name: str) -> Callable[..., Any]:
    original = getattr(api._ProxyMeter, name)

    @functools.wraps(original)
    def create(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._bound(original(self, *args, **kwargs))

    return create


for _name in (
    "create_counter",
    "create_up_down_counter",
    "create_histogram",
    "create_gauge",
    "create_observable_counter",
    "create_observable_up_down_counter",
    "create_observable_gauge",
):
    if hasattr(api._ProxyMeter, _name):
        setattr(_DefaultMeter, _name, _binding(_name))


class _DefaultMeterProvider(api._ProxyMeterProvider):
    """What ``opentelemetry.metrics`` hands out until an application sets a provider."""

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.ours = MeterProvider()

    def get_meter(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Attributes = None,
    ) -> Any:
        real = self._real_meter_provider
        if real is not None:
            return real.get_meter(name, version, schema_url)
        meter = _DefaultMeter(self.ours.get_meter(name, version, schema_url, attributes))
        with self._lock:
            self._meters.append(meter)
        return meter

    def on_set_meter_provider(self, meter_provider: Any) -> None:
        super().on_set_meter_provider(meter_provider)  # pyright: ignore[reportUnknownMemberType]
        if meter_provider is not self.ours:
            self.ours.stop_observing()


def offer() -> None:
    """Has ``opentelemetry.metrics`` hand out our meters, as long as the application sets no provider of its own."""
    try:
        chosen = os.environ.get(_VARIABLE, _ENTRY_POINT)
        if chosen != _ENTRY_POINT or api._METER_PROVIDER is not None:
            return
        default = _DefaultMeterProvider()
        earlier: Any = api._PROXY_METER_PROVIDER
        api._PROXY_METER_PROVIDER = default
        # Meters that were handed out before the agent came: theirs is ours now, and does not change again.
        earlier.on_set_meter_provider(default.ours)
    except Exception as error:
        internal_error(error)
