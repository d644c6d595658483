"""A receiver for each test, and the agent pointed at it."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from sink import Sink

import pitviper
from pitviper import _native, bootstrap
from pitviper.instrument import engine

# gRPC's C core otherwise starts its threads again in every child this process forks. A child that is
# about to exec has closed their descriptors by then, and gRPC ends it with an error of its own.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

#: The servers that tests ask for by fixture.
pytest_plugins = (
    "services.aws",
    "services.http",
    "services.kafka",
    "services.mariadb",
    "services.memcached",
    "services.mongodb",
    "services.postgresql",
    "services.rabbitmq",
    "services.redis",
)


@pytest.fixture(autouse=True)
def integrations() -> "Iterator[None]":
    """What a test took back is in place again for the next."""
    yield
    if bootstrap.is_started() and not engine.states():
        engine.install()


@pytest.fixture(autouse=True, scope="module")
def garbage() -> "Iterator[None]":
    """What the tests of a file leave says its last words, such as a connection's UNSUBSCRIBE, before the next, and as
    nobody's call."""
    yield
    token = _native.activate(_native.worker_loop())
    gc.collect()
    _native.deactivate(token)


@pytest.fixture
def sink() -> "Iterator[Sink]":
    """A receiver."""
    receiver = Sink()
    yield receiver
    receiver.close()


@pytest.fixture
def agent(sink: Sink) -> "Iterator[Callable[[], list[Any]]]":
    """The agent in this process, reporting to the receiver; call it for all spans so far."""
    # There is one profiler in a process, and tests start their own.
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20, profiling_enabled=False)

    def spans() -> "list[Any]":
        assert pitviper.flush(10)
        return list(sink.spans)

    yield spans
    pitviper.flush(10)
    assert _native.current_span() is None, "a test left a span current"


@pytest.fixture
def run(sink: Sink, tmp_path: Path) -> "Callable[..., subprocess.CompletedProcess[str]]":
    """Runs a program in a process of its own under ``pitviper run``."""

    def start(
        source: str, *arguments: str, command: "tuple[str, ...]" = (), **environ: str
    ) -> "subprocess.CompletedProcess[str]":
        program = tmp_path / "program.py"
        program.write_text(source)
        target = command or (sys.executable, str(program))
        variables = {
            **os.environ,
            "PITVIPER_ENDPOINT": sink.endpoint,
            "PITVIPER_SERVICE": "program",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            **environ,
        }
        return subprocess.run(
            [sys.executable, "-m", "pitviper", "run", *target, *arguments],
            capture_output=True,
            text=True,
            env=variables,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def made(agent: "Callable[[], list[Any]]") -> "Iterator[Callable[..., Any]]":
    """Makes a provider of OpenTelemetry's API and the memory its spans end up in."""
    # Loading its API changes how spans are shown, so only tests of it do.
    from pitviper.opentelemetry import InMemorySpanExporter, SimpleSpanProcessor, TracerProvider

    providers: list[Any] = []

    def make(**arguments: Any) -> Any:
        provider = TracerProvider(shutdown_on_exit=False, **arguments)
        memory = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(memory))
        providers.append(provider)
        return provider, memory

    yield make
    for provider in providers:
        provider.shutdown()


@pytest.fixture
def otel(made: "Callable[..., Any]") -> Any:
    """A tracer and the memory of its provider."""
    provider, memory = made()
    return provider.get_tracer("shop", "1.2"), memory
