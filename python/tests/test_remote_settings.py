"""What an operator sets on the server is followed by processes that run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sink import Sink

from pitviper import config, remote

#: For each line it is sent, makes spans until the settings are those of the line, or for twenty seconds.
PROGRAM = """
import json, os, sys, time
from pitviper import bootstrap, profiles, tracer

def in_force():
    config = bootstrap.current_config()
    return [*config.sampler(), config["profiling_rate"], profiles.running() is not None]

def follow(line):
    wanted, until = json.loads(line), time.monotonic() + 20
    while in_force() != wanted and time.monotonic() < until:
        with tracer.start_as_current_span("asking"):
            time.sleep(0.01)
    with tracer.start_as_current_span("told"):
        pass
    print(json.dumps(in_force()), flush=True)

for line in sys.stdin:
    if line == "fork\\n":
        line = next(sys.stdin)
        if os.fork() == 0:
            follow(line)
            os._exit(0)
        os.wait()
    else:
        follow(line)
"""

OWN = ["parentbased_traceidratio", 0.25, 100, False]


class Program:
    """The program under ``pitviper run``, and the receiver it asks."""

    def __init__(self, sink: Sink, **environ: str) -> None:
        self.sink = sink
        variables = {
            **os.environ,
            "PITVIPER_ENDPOINT": sink.endpoint,
            "PITVIPER_SERVICE": "shop",
            "PITVIPER_ENV": "a&b",
            "PITVIPER_SAMPLE_RATE": "0.25",
            "PITVIPER_REMOTE_SETTINGS_INTERVAL": "1",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "PITVIPER_PROFILING_ENABLED": "false",
            **environ,
        }
        command = [
            sys.executable,
            "-m",
            "pitviper",
            "run",
            sys.executable,
            "-Wignore::DeprecationWarning",
            "-c",
            PROGRAM,
        ]
        self.process = subprocess.Popen(
            command, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def follows(self, wanted: "list[Any]", first: str = "") -> None:
        """Waits until these settings are in force."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(first + json.dumps(wanted) + "\n")
        self.process.stdin.flush()
        assert json.loads(self.process.stdout.readline()) == wanted

    def ends(self) -> None:
        """Ends it."""
        _, errors = self.process.communicate(timeout=30)
        assert (self.process.returncode, errors) == (0, "")


@pytest.fixture
def program(sink: Sink) -> "Iterator[Program]":
    """A program that runs."""
    started = Program(sink)
    yield started
    started.process.kill()
    started.process.communicate()


def test_settings_come_and_go_while_a_process_runs(program: Program, sink: Sink) -> None:
    sink.settings = json.dumps({"version": 1})
    program.follows(OWN)
    sink.settings = json.dumps({"version": 2, "sample_rate": 1.0, "unheard_of": [1]})
    program.follows(["parentbased_traceidratio", 1.0, 100, False])
    sink.settings = json.dumps({"version": 3, "sample_rate": 1.0, "profiling": True, "profiling_rate": 50})
    program.follows(["parentbased_traceidratio", 1.0, 50, True])
    # In a child of a fork they hold as well, and others can be told.
    sink.settings = json.dumps({"version": 4, "profiling": True})
    program.follows(["parentbased_traceidratio", 0.25, 100, True], first="fork\n")
    program.follows(["parentbased_traceidratio", 0.25, 100, True])
    # What records nothing has nothing to send, and asks all the same.
    sink.settings = json.dumps({"version": 5, "tracing": False, "sample_rate": 1.0})
    program.follows(["always_off", 1.0, 100, False])
    sink.settings = json.dumps({"version": 6})
    program.follows(OWN)
    program.ends()
    asked = {header["pitviper-settings-for"] for headers in sink.by_path.values() for header in headers}
    assert asked == {"service.name=shop&deployment.environment.name=a%26b"}
    assert sink.profiles


def test_a_process_that_is_profiled_from_its_first_span_on_is_no_longer_when_told_so(sink: Sink) -> None:
    sink.settings = json.dumps({"version": 1})
    started = Program(sink, PITVIPER_PROFILING_ENABLED="auto")
    try:
        started.follows([*OWN[:-1], True])
        sink.settings = json.dumps({"version": 2, "profiling": False})
        started.follows([*OWN[:-1], False])
        sink.settings = json.dumps({"version": 3})
        started.follows([*OWN[:-1], True])
        started.ends()
    finally:
        started.process.kill()


def test_a_process_that_records_nothing_asks(sink: Sink) -> None:
    sink.settings = json.dumps({"sample_rate": 1.0})
    started = Program(sink, PITVIPER_SAMPLE_RATE="0")
    try:
        started.follows(["parentbased_traceidratio", 1.0, 100, False])
        started.ends()
    finally:
        started.process.kill()
    assert sink.spans


def test_a_receiver_without_settings_is_asked_once(sink: Sink) -> None:
    started = Program(sink, PITVIPER_SAMPLE_RATE="0", PITVIPER_REMOTE_SETTINGS_INTERVAL="1")
    try:
        started.follows(["parentbased_traceidratio", 0.0, 100, False])
        sink.wait_until(lambda: bool(sink.requests))
        # Long enough for another.
        time.sleep(1.5)
        started.follows(["parentbased_traceidratio", 0.0, 100, False])
        started.ends()
    finally:
        started.process.kill()
    assert len(sink.requests) == 1
    assert not sink.spans


def test_what_makes_no_sense_changes_nothing(program: Program, sink: Sink) -> None:
    sink.settings = json.dumps({"sample_rate": 1.0})
    program.follows(["parentbased_traceidratio", 1.0, 100, False])
    before = len(sink.requests)
    sink.settings = json.dumps({"sample_rate": 7})
    sink.wait_until(lambda: len(sink.requests) > before + 1, timeout=20)
    sink.settings = "nonsense"
    sink.wait_until(lambda: len(sink.requests) > before + 2, timeout=20)
    program.follows(["parentbased_traceidratio", 1.0, 100, False])
    program.ends()


def test_who_wants_no_settings_does_not_ask(sink: Sink) -> None:
    sink.settings = json.dumps({"sample_rate": 0.0})
    started = Program(sink, DD_REMOTE_CONFIGURATION_ENABLED="false", PITVIPER_SAMPLE_RATE="1")
    try:
        started.follows(["parentbased_traceidratio", 1.0, 100, False])
        sink.wait_for(1)
        started.follows(["parentbased_traceidratio", 1.0, 100, False])
        started.ends()
    finally:
        started.process.kill()
    assert not any("pitviper-settings-for" in headers for headers in sink.requests)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ("[]", "no object"),
        ("7", "no object"),
        ("{", "no JSON"),
        ('{"sample_rate": true}', "from 0 to 1"),
        ('{"sample_rate": 1.5}', "from 0 to 1"),
        ('{"profiling": 1}', "neither true nor false"),
        ('{"profiling_rate": 0}', "whole number"),
    ],
)
def test_what_is_told_is_checked(told: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        remote.take(told)


def test_they_count_more_than_what_the_application_says() -> None:
    own = config.load({}, {"sample_rate": 0.5, "profiling_enabled": True})
    try:
        assert remote.take('{"sample_rate": 0.75, "profiling": false, "tracing": true}')
        assert not remote.take('{"sample_rate": 0.75, "profiling": false}')
        laid = remote.lay_over(own)
        assert laid.sampler() == ("parentbased_traceidratio", 0.75)
        assert (laid["profiling_enabled"], laid.resolved["profiling_enabled"].source) == (False, "the server")
        assert own["sample_rate"] == 0.5
        aloof = config.load({}, {"sample_rate": 0.5, "remote_settings": False})
        assert remote.lay_over(aloof) is aloof
    finally:
        remote.take("{}")
