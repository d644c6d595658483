"""Celery: from sending a task to its result, in every pool and over both brokers."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sink import tree

from pitviper import tracer

APPLICATIONS = Path(__file__).parent / "applications"
ATTRIBUTES = ("celery.state", "celery.retries", "error.type")
#: Seconds in which a worker is up, or down again.
_PATIENCE = 60


@pytest.fixture
def shop(agent, sink, request, monkeypatch, tmp_path):
    """Gives the application of ``applications/shop.py`` in this process, and starts workers of it."""
    monkeypatch.syspath_prepend(str(APPLICATIONS))
    started = []

    class Shop:
        def __init__(self, broker="redis", backend="redis"):
            ports = {name: request.getfixturevalue(f"{name}_port") for name in {broker, backend} - {"rpc"}}
            urls = {"redis": f"redis://127.0.0.1:{ports.get('redis')}/0", "rpc": "rpc://"}
            urls["rabbitmq"] = f"amqp://guest:guest@127.0.0.1:{ports.get('rabbitmq')}//"
            self.queue = f"queue-{request.node.name}"
            self.environ = {"SHOP_BROKER": urls[broker], "SHOP_BACKEND": urls[backend], "SHOP_QUEUE": self.queue}
            # Another application for each test: it keeps connections and a function that sends.
            sys.modules.pop("shop", None)
            for name, value in self.environ.items():
                monkeypatch.setenv(name, value)
            import shop

            self.tasks = shop

        def worker(self, *arguments, command=(sys.executable, "-m", "celery")):
            name = f"worker{len(started)}@test"
            log = tmp_path / f"{name}.log"
            line = [sys.executable, "-m", "pitviper", "run", *command, "-A", "shop", "worker", "-n", name]
            line += ["-Q", self.queue, "--loglevel=INFO", "--without-gossip", "--without-mingle", *arguments]
            variables = {
                **os.environ,
                **self.environ,
                "PITVIPER_ENDPOINT": sink.endpoint,
                "PITVIPER_SERVICE": "worker",
                # So late that only a flush at the end can send what is left.
                "OTEL_BSP_SCHEDULE_DELAY": "60000",
                "PYTHONPATH": str(APPLICATIONS),
            }
            with log.open("wb") as output:
                process = subprocess.Popen(line, env=variables, stdout=output, stderr=subprocess.STDOUT, cwd=tmp_path)
            process.log = log
            started.append(process)
            until = time.monotonic() + _PATIENCE
            while b" ready." not in log.read_bytes():
                assert process.poll() is None and time.monotonic() < until, log.read_text()
                time.sleep(0.05)
            return process

        def stop(self, process):
            process.send_signal(signal.SIGTERM)
            assert process.wait(_PATIENCE) == 0, process.log.read_text()

        def spans(self):
            """Celery's spans and the tests' own; a client library below may have some too."""
            return [span for span in agent() if span.scope in ("pitviper", "pitviper.celery")]

    yield Shop
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
    sys.modules.pop("shop", None)


def settle(result):
    with contextlib.suppress(Exception):
        result.get(timeout=_PATIENCE)
    return result.state


EXPECTED = [
    [
        "internal all",
        ["producer apply_async shop.add", ["consumer run shop.add", {"celery.state": "SUCCESS"}]],
        [
            "producer apply_async shop.fail",
            ["consumer run shop.fail", {"celery.state": "FAILURE", "error.type": "ValueError"}],
        ],
        [
            "producer apply_async shop.fail_as_expected",
            ["consumer run shop.fail_as_expected", {"celery.state": "FAILURE"}],
        ],
        [
            "producer apply_async shop.insist",
            [
                "consumer run shop.insist",
                {"celery.state": "RETRY"},
                [
                    "producer apply_async shop.insist",
                    {"celery.retries": 1},
                    ["consumer run shop.insist", {"celery.state": "SUCCESS", "celery.retries": 1}],
                ],
            ],
        ],
        [
            "producer apply_async shop.nested",
            [
                "consumer run shop.nested",
                {"celery.state": "SUCCESS"},
                ["producer apply_async shop.add", ["consumer run shop.add", {"celery.state": "SUCCESS"}]],
            ],
        ],
        [
            "producer apply_async shop.add",
            [
                "consumer run shop.add",
                {"celery.state": "SUCCESS"},
                ["producer apply_async shop.add", ["consumer run shop.add", {"celery.state": "SUCCESS"}]],
            ],
        ],
    ]
]

POOLS = [
    ("prefork", "redis", "redis"),
    ("threads", "redis", "redis"),
    ("solo", "rabbitmq", "rpc"),
    ("gevent", "redis", "redis"),
]


@pytest.mark.parametrize(("pool", "broker", "backend"), POOLS, ids=[f"{pool}-{broker}" for pool, broker, _ in POOLS])
def test_a_trace_goes_through_the_broker(shop, pool, broker, backend):
    here = shop(broker, backend)
    tasks = here.tasks
    worker = here.worker(f"--pool={pool}", "--concurrency=2")
    results = []
    with tracer.start_as_current_span("all"):
        for signature in (
            tasks.add.s(1, 2),
            tasks.fail.s(),
            tasks.fail_as_expected.s(),
            tasks.insist.s(),
            tasks.nested.s(),
            tasks.add.s(1, 1) | tasks.add.s(2),
        ):
            results.append(signature.apply_async())
            settle(results[-1])
    assert [result.state for result in results] == ["SUCCESS", "FAILURE", "FAILURE", "SUCCESS", "SUCCESS", "SUCCESS"]
    further = {"prefork": groups_and_chords, "solo": no_failures}.get(pool)
    expected = further(tasks) if further else []
    here.stop(worker)
    spans = here.spans()
    assert {span.resource["service.name"] for span in spans if span.kind == "consumer"} == {"worker"}
    names = {span.resource["pitviper.worker.name"].rstrip("0123456789") for span in spans if span.kind == "consumer"}
    assert names == {"ForkPoolWorker-" if pool == "prefork" else "main"}
    found = tree(spans, ATTRIBUTES)
    assert found[:1] == EXPECTED
    assert [ordered(node) for node in found[1:]] == expected


def ordered(node):
    """A tree with a group's members in one order: which of them ends last is chance."""
    if node[0] != "internal fan out":
        return node
    return node[:3] + sorted(node[3:])


def groups_and_chords(tasks):
    from celery import chord, group

    with tracer.start_as_current_span("fan out"):
        assert group(tasks.add.s(1, 2), tasks.add.s(3, 4))().get(timeout=_PATIENCE) == [3, 7]
        assert chord([tasks.add.s(1, 2), tasks.add.s(3, 4)])(tasks.total.s()).get(timeout=_PATIENCE) == 10
    done = {"celery.state": "SUCCESS"}
    send, add = "producer apply_async shop.add", ["consumer run shop.add", done]
    # The chord's body is sent by whichever task of its header ends last.
    body = ["producer apply_async shop.total", ["consumer run shop.total", done]]
    return [["internal fan out", [send, add], [send, add], [send, add], [send, [*add, body]]]]


def no_failures(tasks):
    """Rejected and ignored tasks; and the older protocol, which has its headers elsewhere."""
    for task in (tasks.reject, tasks.ignore):
        task.delay()
    tasks.app.amqp.task_protocol = 1
    assert tasks.add.delay(1, 2).get(timeout=_PATIENCE) == 3
    return [
        ["producer apply_async shop.reject", ["consumer run shop.reject", {"celery.state": "REJECTED"}]],
        ["producer apply_async shop.ignore", ["consumer run shop.ignore", {"celery.state": "IGNORED"}]],
        ["producer apply_async shop.add", ["consumer run shop.add", {"celery.state": "SUCCESS"}]],
    ]


def test_what_a_lost_child_cannot_tell(shop):
    here = shop()
    tasks = here.tasks
    worker = here.worker("--concurrency=1", command=(str(Path(sys.executable).parent / "celery"),))
    with tracer.start_as_current_span("all"):
        for task in (tasks.outlast_softly, tasks.outlast, tasks.die):
            assert settle(task.delay()) == "FAILURE"
        expired = tasks.add.apply_async((1, 1), countdown=0.2, expires=0.1)
        assert settle(expired) == "REVOKED"
        # One that runs is ended with its child, and told by the main process.
        endless = tasks.sleep.delay(30)
        time.sleep(1)
        here.tasks.app.control.revoke(endless.id, terminate=True, signal="SIGKILL")
        assert settle(endless) == "REVOKED"
    here.stop(worker)
    spans = here.spans()
    attributes = ("celery.state", "error.type", "celery.revoked.reason")
    ((_, *children),) = tree(spans, attributes)
    failed = {"celery.state": "FAILURE"}
    soft = {**failed, "error.type": "billiard.exceptions.SoftTimeLimitExceeded"}
    assert children[0] == ["producer apply_async shop.outlast_softly", ["consumer run shop.outlast_softly", soft]]
    # Whether a child past its limit still tells of itself depends on billiard; the main process does.
    assert children[1][0] == "producer apply_async shop.outlast"
    assert ["consumer abort shop.outlast", {**failed, "error.type": "TimeLimitExceeded"}] in children[1]
    lost = {**failed, "error.type": "WorkerLostError"}
    assert children[2] == ["producer apply_async shop.die", ["consumer abort shop.die", lost]]
    revoked = {"celery.state": "REVOKED"}
    expired = ["consumer revoke shop.add", {**revoked, "celery.revoked.reason": "expired"}]
    assert children[3] == ["producer apply_async shop.add", expired]
    terminated = ["consumer revoke shop.sleep", {**revoked, "celery.revoked.reason": "terminated"}]
    assert children[4] == ["producer apply_async shop.sleep", terminated]
    aborted = next(span for span in spans if span.name == "abort shop.outlast")
    assert 800 < aborted.duration_ms < 15_000 and aborted.status == "error"


def test_no_span_is_lost_when_children_are_recycled(shop):
    here = shop()
    worker = here.worker("--concurrency=2", "--max-tasks-per-child=1", "--beat")
    results = [here.tasks.pid.delay() for _ in range(6)]
    assert len({result.get(timeout=_PATIENCE) for result in results}) == 6
    # Warm shutdown waits for what is being done.
    last = here.tasks.sleep.delay(1)
    until = time.monotonic() + _PATIENCE
    while last.state == "PENDING" and time.monotonic() < until:
        time.sleep(0.05)
    # Beat starts beside the worker and may be late: two ticks must have been received and done.
    while worker.log.read_bytes().count(b"Task shop.add[") < 4 and time.monotonic() < until:
        time.sleep(0.05)
    here.stop(worker)
    assert settle(last) == "SUCCESS"
    spans = here.spans()
    assert sum(span.name == "run shop.pid" for span in spans) == 6
    assert sum(span.name == "run shop.sleep" for span in spans) == 1
    assert len({span.resource["process.pid"] for span in spans if span.name == "run shop.pid"}) == 6
    # Beat is a process of its own, and each tick is a trace; the last ones found no worker.
    ticks = [node[1:] for node in tree(spans) if node[0] == "producer apply_async shop.add"]
    assert len(ticks) >= 2 and [["consumer run shop.add"]] in ticks


def test_eager_tasks_are_part_of_their_caller(shop):
    here = shop()
    with tracer.start_as_current_span("caller"):
        assert here.tasks.add.apply((1, 2)).get() == 3
        assert here.tasks.fail.apply().state == "FAILURE"
        with pytest.raises(ValueError, match="out of stock"):
            here.tasks.fail.apply(throw=True)
    spans = here.spans()
    run = ["internal run shop.fail"]
    assert tree(spans) == [["internal caller", ["internal run shop.add"], run, run]]
    assert [span.status for span in spans if span.name == "run shop.fail"] == ["error", "error"]


def test_a_broker_that_is_away_is_the_applications_error(shop):
    here = shop()
    here.tasks.app.conf.broker_url = "amqp://guest:guest@127.0.0.1:1//"
    from kombu.exceptions import OperationalError

    with pytest.raises(OperationalError) as caught:
        here.tasks.add.apply_async((1, 2), retry=False)
    assert all("pitviper" not in str(note) for note in getattr(caught.value, "__notes__", ()))
    (span,) = here.spans()
    assert (span.name, span.status, span.attributes["error.type"]) == (
        "apply_async shop.add",
        "error",
        "kombu.exceptions.OperationalError",
    )


def test_attributes_of_sending(shop):
    here = shop()
    result = here.tasks.add.apply_async((1, 2), queue="elsewhere", countdown=60, expires=90, time_limit=5)
    (span,) = here.spans()
    eta, expires = span.attributes.pop("celery.eta"), span.attributes.pop("celery.expires")
    assert eta < expires
    assert span.attributes == {
        "messaging.system": "celery",
        "messaging.operation.name": "apply_async",
        "messaging.operation.type": "send",
        "messaging.message.id": result.id,
        "messaging.destination.name": "elsewhere",
        "celery.action": "apply_async",
        "celery.task_name": "shop.add",
        "celery.timelimit": "(5, None)",
    }


def test_taken_back(shop):
    from pitviper.instrument import engine

    before = shop()
    before.tasks.app.amqp.send_task_message  # noqa: B018 - makes the function that sends
    engine.uninstall()
    try:
        assert before.tasks.add.delay(1, 1).id
        after = shop()
        assert after.tasks.add.delay(1, 1).id
        assert [span.name for span in before.spans()] == ["apply_async shop.add"]
    finally:
        engine.install()
