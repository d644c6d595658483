"""What newer versions of FastAPI tell OpenTelemetry's providers by themselves, told to ours at little cost.

Its own way takes half as long as a small request: it walks the middleware, keeps a context, and wraps both
directions. Where all of it would come to us it stays off, and the same metrics and log records are made here.
"""

import sys
import time
from contextvars import ContextVar, Token
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import engine
from pitviper.integrations._server import REQUEST, ServerRequest

Method = Callable[..., Any]

#: The request whose endpoint is about to be called: FastAPI calls it without a word about that.
current_request: "ContextVar[Optional[ServerRequest]]" = ContextVar("pitviper_fastapi_request", default=None)

#: What it tells, which provider it may have been given for that, and where it finds the process's.
_SIGNALS = (
    ("tracing", "tracer_provider", "opentelemetry.trace", "get_tracer_provider"),
    ("metrics", "meter_provider", "opentelemetry.metrics", "get_meter_provider"),
    ("logs", "logger_provider", "opentelemetry._logs", "get_logger_provider"),
)
#: Where an application's telemetry keeps its :class:`_Own`.
_OWN = "_pitviper_own"


class _Own:
    """Our stand-in for the telemetry of one application."""

    __slots__ = ("_finders", "_meter", "_providers", "_telemetry", "decided", "logs", "metrics")

    def __init__(self, telemetry: Any) -> None:
        config = telemetry.config
        self._telemetry = telemetry
        self.metrics: bool = config["metrics"]
        self.logs: bool = config["logs"]
        self._meter: Optional[_native.RequestMeter] = None
        self._finders: list[Callable[[], Any]] = []
        for signal, given, module, function in _SIGNALS:
            if config[signal]:
                provider: Any = config[given]
                found: Callable[[], Any] = getattr(sys.modules[module], function)
                self._finders.append(found if provider is None else lambda provider=provider: provider)
        #: The providers as they were when it was last decided, and what was decided.
        self._providers: list[Any] = [None]
        self.decided = False

    def counts(self) -> bool:
        """Whether all that the application's telemetry tells would come to us, and we see its requests."""
        providers = [find() for find in self._finders]
        if providers != self._providers:
            ours = all(type(provider).__module__.startswith("pitviper.") for provider in providers)
            seen = engine.states().get("starlette") == "in place"
            self.decided = ours and seen and self._telemetry.config["exclude"] is None
            self._providers = providers
            self._meter = None
        return self.decided

    def meter(self) -> _native.RequestMeter:
        """What measures its requests, by the instruments that FastAPI would take."""
        if self._meter is None:
            duration, active = [_streams_of(instrument) for instrument in self._telemetry._instruments()]
            meter = _native.RequestMeter(duration, active)
            if not (duration and active):
                # The instruments may come to us later.
                return meter
            self._meter = meter
        return self._meter

    def emit(self, request: ServerRequest, **record: Any) -> None:
        """Writes a log record, in the words of FastAPI."""
        attributes: dict[str, Any] = record.pop("attributes", {})
        if request.route:
            attributes["http.route"] = request.route
        fastapi, logs = _module("fastapi"), _module("opentelemetry._logs")
        logger = logs.get_logger("fastapi", fastapi.__version__, self._telemetry.config["logger_provider"])
        logger.emit(timestamp=time.time_ns(), attributes=attributes or None, **record)


def _streams_of(instrument: Any) -> "list[_native.Instrument]":
    """The native streams of an instrument, which may be a proxy of OpenTelemetry's."""
    real = getattr(instrument, "_real_instrument", None) or instrument
    return getattr(real, "_streams", [])


class _Measured:
    """A request whose duration is measured."""

    __slots__ = ("_ended", "_kind", "_meter", "_started", "_version", "logged", "own")

    def __init__(self, own: _Own, scope: Any, request: ServerRequest) -> None:
        self.own = own
        #: The exception that was logged.
        self.logged: Optional[BaseException] = None
        self._ended = not own.metrics or scope["type"] != "http"
        if self._ended:
            return
        method = request.method
        self._kind = scope.get("scheme", "http"), "_OTHER" if method == "HTTP" else method
        self._version = scope.get("http_version")
        self._meter = own.meter()
        self._meter.begin(*self._kind)
        self._started = time.perf_counter()

    def end(self, request: ServerRequest) -> None:
        """Measures, once; the request is over."""
        if self._ended:
            return
        self._ended = True
        try:
            taken = time.perf_counter() - self._started
            failure = request.failure or ("" if request.status else "incomplete_response")
            self._meter.end(taken, *self._kind, self._version, request.route, request.status, failure)
        except Exception as error:
            internal_error(error)


def _own(telemetry: Any) -> _Own:
    found: Optional[_Own] = telemetry.__dict__.get(_OWN)
    if found is None:
        found = telemetry.__dict__[_OWN] = _Own(telemetry)
    return found


def enabled(original: Method) -> Method:
    """``NativeTelemetry.enabled``, which is asked for each request."""

    def wrapper(self: Any) -> bool:
        try:
            if _own(self).counts():
                return False
        except Exception as error:
            internal_error(error)
        return original(self)

    return wrapper


def outermost(original: Method) -> Method:
    """``ExceptionTelemetryMiddleware.__call__``: outside of all that the application added."""

    def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        try:
            request: Optional[ServerRequest] = scope.get(REQUEST)
            # A mounted application is part of the same request.
            if request is not None and request.measured is None:
                # It was decided when FastAPI asked, a moment ago.
                own: Optional[_Own] = scope["app"]._native_telemetry.__dict__.get(_OWN)
                if own is not None and own.decided:
                    request.measured = _Measured(own, scope, request)
            if request is not None and scope["type"] == "websocket":
                return _known(original(self, scope, receive, send), request)
        except Exception as error:
            internal_error(error)
        # The coroutine itself: nobody waits for two.
        return original(self, scope, receive, send)

    return wrapper


async def _known(handled: Any, request: ServerRequest) -> None:
    """Websockets of Starlette's do not come by ``APIRoute.handle``."""
    token = current_request.set(request)
    try:
        await handled
    finally:
        leave(token)


def leave(token: "Token[Optional[ServerRequest]]") -> None:
    """Sets the request of the context back to what it was."""
    try:
        current_request.reset(token)
    except ValueError:
        # Closed by the garbage collector, it runs in another context, which has nothing to reset.
        return


def exception(original: Method) -> Method:
    """``_exception``: an exception that no handler of the application's took."""

    def wrapper(*, scope: Any, exc: BaseException) -> None:
        original(scope=scope, exc=exc)
        try:
            request: Optional[ServerRequest] = scope.get(REQUEST)
            measured: Optional[_Measured] = None if request is None else request.measured
            if request is None or measured is None or not measured.own.logs or measured.logged is exc:
                return
            websocket = scope["type"] == "websocket"
            if not isinstance(exc, Exception) or (websocket and type(exc).__name__ == "WebSocketDisconnect"):
                return
            measured.logged = exc
            measured.own.emit(
                request,
                exception=exc,
                event_name="fastapi.websocket.exception" if websocket else "http.server.request.exception",
                severity_number=_severity("ERROR"),
                severity_text="ERROR",
                body=f"Unhandled exception in FastAPI {'WebSocket connection' if websocket else 'request'}",
            )
        except Exception as error:
            internal_error(error)

    return wrapper


def validation_failed(request: Optional[ServerRequest], failure: Any) -> None:
    """Notes a request that does not fit its endpoint's parameters."""
    measured: Optional[_Measured] = None if request is None else request.measured
    if request is not None and measured is not None and measured.own.logs:
        measured.own.emit(
            request,
            event_name="fastapi.validation.failed",
            severity_number=_severity("WARN"),
            severity_text="WARN",
            body="Request validation failed",
            attributes={"fastapi.validation.error_count": len(failure.errors())},
        )


def _severity(name: str) -> Any:
    return _module("opentelemetry._logs").SeverityNumber[name]


def _module(name: str) -> Any:
    # FastAPI has imported them.
    return sys.modules[name]
