"""One owner a library: ours, or the instrumentation that OpenTelemetry publishes for it.

Where an integration of ours is in place, or will be when its library is imported, ``instrument()`` of the
published one does nothing: two spans for one request would say less than one. Whoever prefers that one names
ours in ``PITVIPER_INTEGRATIONS_DISABLED``.
"""

import functools
import importlib
from typing import Any, Callable, cast

from pitviper._guard import internal_error
from pitviper.instrument import engine
from pitviper.integrations import _server

#: Whose library a published instrumentation is about: its module, ``opentelemetry.instrumentation.`` left out,
#: and our integrations. All of them have to be ours.
OWNERS = {
    "aio_pika": ("aio_pika",),
    "aiohttp_client": ("aiohttp_client",),
    "aiohttp_server": ("aiohttp_server",),
    "aiokafka": ("aiokafka",),
    "asyncpg": ("asyncpg",),
    "botocore": ("botocore",),
    "celery": ("celery",),
    "confluent_kafka": ("confluent_kafka",),
    "django": ("django",),
    "falcon": ("falcon",),
    "fastapi": ("fastapi", "starlette"),
    "flask": ("flask",),
    "grpc": ("grpc",),
    "httpx": ("httpx",),
    "jinja2": ("jinja2",),
    "kafka": ("kafka",),
    "mysqlclient": ("mysqldb",),
    "pika": ("pika",),
    "psycopg": ("psycopg",),
    "psycopg2": ("psycopg2",),
    "pymemcache": ("pymemcache",),
    "pymongo": ("pymongo",),
    "pymysql": ("pymysql",),
    "pyramid": ("pyramid",),
    "redis": ("redis",),
    "requests": ("requests",),
    "sqlite3": ("sqlite3",),
    "starlette": ("starlette",),
    "tornado": ("tornado",),
    "urllib": ("http_client",),
    "urllib3": ("urllib3",),
}

_PACKAGE = "opentelemetry.instrumentation."
#: Where an integration is, or will be once its library is imported, ours is the owner.
_OURS = ("in place", "waits for the library to be imported")
_said: "set[str]" = set()


def is_ours(library: str) -> bool:
    """Whether a library, by the name of its published instrumentation, is traced by us."""
    owners = OWNERS.get(library)
    states = engine.states()
    return owners is not None and all(states.get(owner, "").startswith(_OURS) for owner in owners)


def _library_of(instrumentor: type) -> str:
    module = instrumentor.__module__
    return module[len(_PACKAGE) :].partition(".")[0] if module.startswith(_PACKAGE) else ""


def _leave_out(library: str) -> bool:
    """Whether a published instrumentation is to do nothing; says so once, for those who look for it."""
    try:
        if not is_ours(library):
            return False
        if library not in _said:
            _said.add(library)
            importlib.import_module("logging").getLogger("pitviper").debug(
                "%s%s does nothing: pitviper traces the library; PITVIPER_INTEGRATIONS_DISABLED=%s lets it",
                _PACKAGE,
                library,
                ",".join(OWNERS[library]),
            )
        return True
    except Exception as error:
        internal_error(error)
        return False


def install() -> None:
    """Watches for published instrumentations being applied."""
    instrumentor: Any = importlib.import_module("opentelemetry.instrumentation.instrumentor").BaseInstrumentor
    original = instrumentor.instrument
    if getattr(original, "__wrapped__", None) is not None:
        return

    @functools.wraps(original)
    def instrument(self: Any, **kwargs: Any) -> Any:
        return None if _leave_out(_library_of(self.__class__)) else original(self, **kwargs)

    instrumentor.instrument = instrument
    # A class is complete when this is called, while its module, which imports the base, is not.
    instrumentor.__init_subclass__ = classmethod(cast("Any", _guard))
    present: Any
    for present in instrumentor.__subclasses__():
        _guard(present)
    engine.when_imported(f"{_PACKAGE}wsgi", _guard_wsgi)
    engine.when_imported(f"{_PACKAGE}asgi", _guard_asgi)


def _guard(instrumentor: Any, **_: Any) -> None:
    """Watches the methods that apply an instrumentation to one object, such as ``instrument_app``."""
    try:
        library = _library_of(instrumentor)
        if library not in OWNERS:
            return
        methods = dict(vars(cast("type", instrumentor)))
        for name, defined in methods.items():
            if not name.startswith("instrument_"):
                continue
            kind: Any = cast("Any", type(defined))
            is_bound = kind in (staticmethod, classmethod)
            function: Any = defined.__func__ if is_bound else defined
            # A plain method and a class method get the instrumentor, or its class, before the object.
            guarded = _guarded(library, function, 0 if kind is staticmethod else 1)
            setattr(instrumentor, name, kind(guarded) if is_bound else guarded)
    except Exception as error:
        internal_error(error)


def _guarded(library: str, original: Callable[..., Any], position: int) -> Callable[..., Any]:
    @functools.wraps(original)
    def single(*args: Any, **kwargs: Any) -> Any:
        if not _leave_out(library):
            return original(*args, **kwargs)
        # Those that return anything return the object they were given.
        return args[position] if len(args) > position else next(iter(kwargs.values()), None)

    return single


def _guard_wsgi() -> None:
    """The published middleware, applied by hand: below a request that has our span it only calls on."""
    middleware: Any = importlib.import_module(f"{_PACKAGE}wsgi").OpenTelemetryMiddleware
    original = middleware.__call__

    @functools.wraps(original)
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        if _server.request_of(environ) is not None:
            return self.wsgi(environ, start_response)
        return original(self, environ, start_response)

    middleware.__call__ = call


def _guard_asgi() -> None:
    """The same for ASGI."""
    middleware: Any = importlib.import_module(f"{_PACKAGE}asgi").OpenTelemetryMiddleware
    original = middleware.__call__

    @functools.wraps(original)
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        if _server.request_of(scope) is not None:
            return await self.app(scope, receive, send)
        return await original(self, scope, receive, send)

    middleware.__call__ = call
