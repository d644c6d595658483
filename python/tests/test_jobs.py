"""RQ and Dramatiq: from enqueuing to the outcome, with their own workers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
import rq
from sink import tree

from pitviper import tracer

APPLICATIONS = Path(__file__).parent / "applications"
_PATIENCE = 60


@pytest.fixture
def launch(agent, sink, monkeypatch, tmp_path):
    """Starts a worker under the agent."""
    monkeypatch.syspath_prepend(str(APPLICATIONS))
    started = []

    def start(*command, **environ):
        variables = {
            **os.environ,
            "PITVIPER_ENDPOINT": sink.endpoint,
            "PITVIPER_SERVICE": "worker",
            # So late that only a flush at the end can send what is left.
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
            "PYTHONPATH": str(APPLICATIONS),
            **environ,
        }
        line = [sys.executable, "-m", "pitviper", "run", *command]
        process = subprocess.Popen(
            line, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def jobs(launch, redis_port, request, monkeypatch):
    monkeypatch.setenv("JOBS_REDIS", str(redis_port))
    import jobs

    queue = rq.Queue(request.node.name, connection=redis.Redis(port=redis_port))
    script = str(Path(sys.executable).parent / "rq")

    def work(*arguments):
        url = f"redis://127.0.0.1:{redis_port}"
        worker = launch(script, "worker", "--burst", "--url", url, *arguments, queue.name)
        output, _ = worker.communicate(timeout=_PATIENCE)
        assert worker.returncode == 0, output
        return output

    return jobs, queue, work


def spans_of(agent, scope):
    """The library's spans and the tests' own; a client library below may have some too."""
    return [span for span in agent() if span.scope in ("pitviper", scope)]


def names_of(span):
    """What the process that a span is of says it is."""
    return span.resource["pitviper.worker.kind"], span.resource["pitviper.worker.name"]


@pytest.mark.parametrize("worker", ["rq.Worker", "rq.SimpleWorker"])
def test_rq(agent, jobs, worker):
    functions, queue, work = jobs
    with tracer.start_as_current_span("request"):
        queue.enqueue(functions.add, 1, 2, on_success=functions.succeeded, meta={"own": 1})
        queue.enqueue(functions.fail)
        queue.enqueue(functions.fail_once, f"{queue.name}:counter", retry=rq.Retry(1))
        queue.enqueue(functions.nested, queue.name)
        first = queue.enqueue(functions.add, 3, 4)
        queue.enqueue(functions.add, 5, 6, depends_on=first)
        queue.enqueue_many([rq.Queue.prepare_data(functions.add, (7, 8))])
    work("--worker-class", worker)
    spans = spans_of(agent, "pitviper.rq")
    added, plain = ["consumer perform jobs.add"], "producer enqueue jobs.add"
    once, failure = "consumer perform jobs.fail_once", {"error.type": "ConnectionError"}
    assert tree(spans, ("error.type",)) == [
        [
            "internal request",
            [plain, [*added, ["internal callback"]]],
            ["producer enqueue jobs.fail", ["consumer perform jobs.fail", {"error.type": "ValueError"}]],
            ["producer enqueue jobs.fail_once", [once, failure], [once]],
            ["producer enqueue jobs.nested", ["consumer perform jobs.nested", [plain, added]]],
            [plain, added],
            [plain, added],
            [plain, added],
        ]
    ]
    performed = [span for span in spans if span.kind == "consumer"]
    pids = {span.resource["process.pid"] for span in performed}
    assert len(pids) == (len(performed) if worker == "rq.Worker" else 1)
    kind = "work-horse" if worker == "rq.Worker" else "worker"
    assert {names_of(span) for span in performed} == {("rq", kind)}
    assert [name for span in spans if span.status == "error" for name, _ in span.events] == ["exception"] * 2
    done = performed[0]
    assert done.attributes.pop("rq.worker.name")
    assert done.attributes.pop("messaging.message.id")
    assert done.attributes == {
        "messaging.system": "rq",
        "messaging.operation.name": "perform",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue.name,
        "code.function.name": "jobs.add",
    }


def test_rq_tells_of_children_that_were_killed(agent, jobs):
    functions, queue, work = jobs
    queue.enqueue(functions.die)
    queue.enqueue(functions.sleep, 20, job_timeout=1)
    work()
    spans = spans_of(agent, "pitviper.rq")
    # One is told by the worker, of a child that is no more.
    assert [names_of(span) for span in spans if span.name == "abort jobs.die"] == [("rq", "worker")]
    assert tree(spans, ("error.type",)) == [
        ["producer enqueue jobs.die", ["consumer abort jobs.die", {"error.type": "WorkHorseKilled"}]],
        [
            "producer enqueue jobs.sleep",
            ["consumer perform jobs.sleep", {"error.type": "rq.timeouts.JobTimeoutException"}],
        ],
    ]


def test_rq_without_workers(agent, jobs):
    functions, queue, _ = jobs
    here = rq.Queue(queue.name, is_async=False, connection=queue.connection)
    with tracer.start_as_current_span("request"):
        assert here.enqueue(functions.add, 1, 2).return_value() == 3
        assert here.enqueue(functions.fail).is_failed
    assert tree(spans_of(agent, "pitviper.rq"), ("error.type",)) == [
        [
            "internal request",
            ["producer enqueue jobs.add", ["consumer perform jobs.add"]],
            ["producer enqueue jobs.fail", ["consumer perform jobs.fail", {"error.type": "ValueError"}]],
        ]
    ]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_dramatiq(agent, launch, broker, request, monkeypatch):
    port = request.getfixturevalue(f"{broker}_port")
    url = f"redis://127.0.0.1:{port}/2" if broker == "redis" else f"amqp://guest:guest@127.0.0.1:{port}"
    monkeypatch.setenv("ACTORS_BROKER", url)
    monkeypatch.setenv("ACTORS_QUEUE", f"actors-{broker}")
    sys.modules.pop("actors", None)
    import actors

    with tracer.start_as_current_span("request"):
        actors.add.send(1, 2)
        actors.fail.send()
        actors.fail_as_expected.send()
        actors.nested.send()
        actors.insist.send()
        actors.add.send_with_options(args=(3, 4), delay=100)
    script = str(Path(sys.executable).parent / "dramatiq")
    worker = launch(script, "actors", "-p", "1", "-t", "2", OTEL_BSP_SCHEDULE_DELAY="20")
    # All that is to come: nobody but the actors knows when they are done.
    until = time.monotonic() + _PATIENCE
    while len(spans_of(agent, "pitviper.dramatiq")) < 17 and time.monotonic() < until:
        time.sleep(0.05)
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=_PATIENCE)
    assert worker.returncode == 0, output
    spans = spans_of(agent, "pitviper.dramatiq")
    assert {names_of(span) for span in spans if span.kind == "consumer"} == {("dramatiq", "1")}
    add = ["producer enqueue add", ["consumer process add"]]
    again = ["producer enqueue insist", {"dramatiq.retries": 1}]
    assert tree(spans, ("error.type", "dramatiq.retries")) == [
        [
            "internal request",
            add,
            ["producer enqueue fail", ["consumer process fail", {"error.type": "ValueError"}]],
            ["producer enqueue fail_as_expected", ["consumer process fail_as_expected"]],
            ["producer enqueue nested", ["consumer process nested", add]],
            [
                "producer enqueue insist",
                ["consumer process insist", [*again, ["consumer process insist", {"dramatiq.retries": 1}]]],
            ],
            add,
        ]
    ]
    actors.broker.close()


def test_dramatiq_in_one_process(agent):
    import dramatiq
    from dramatiq.brokers.stub import StubBroker

    broker = StubBroker()
    broker.emit_after("process_boot")

    @dramatiq.actor(broker=broker, queue_name="stub")
    def greet(name):
        with tracer.start_as_current_span("greeting"):
            return name

    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    for name in ("a", "b", "c"):
        greet.send(name)
    broker.join("stub")
    worker.join()
    worker.stop()
    assert tree(agent()) == [["producer enqueue greet", ["consumer process greet", ["internal greeting"]]]] * 3


@pytest.mark.parametrize("loop_spans", ["", "true"])
def test_what_a_worker_asks_redis_between_jobs_is_no_trace(jobs, agent, monkeypatch, loop_spans):
    functions, queue, work = jobs
    monkeypatch.setenv("PITVIPER_RQ_LOOP_SPANS", loop_spans)
    with tracer.start_as_current_span("request"):
        queue.enqueue(functions.add, 1, 2)
    work()
    spans = agent()
    (performed,) = [span for span in spans if span.kind == "consumer"]
    # What it asks before, it asks once, while it starts.
    asked = [
        span.name for span in spans if (span.kind, span.parent) == ("client", "") and span.start_ns > performed.start_ns
    ]
    assert bool(asked) == bool(loop_spans), asked
