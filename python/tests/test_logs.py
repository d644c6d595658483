"""logging, structlog and loguru: which trace a record belongs to, and what is written of it."""

import io
import json
import logging
import logging.handlers
import queue

import loguru
import pytest
import structlog

from pitviper import _native, tracer
from pitviper.integrations import _log
from pitviper.integrations.logging import patches


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Without the fields that ddtrace's API adds once it was imported."""
    monkeypatch.setattr(_log, "more", [])


@pytest.fixture
def logger():
    """A logger of its own, and the records that reached it."""
    records = []
    logger = logging.Logger("shop")
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    return logger, records


def test_every_record_has_the_ids(agent, logger):
    logger, records = logger
    with tracer.start_as_current_span("request") as span:
        logger.info("inside %s", "it")
    logger.info("outside")
    inside, outside = records
    assert (inside.trace_id, inside.span_id) == (span.trace_id, span.span_id)
    assert (inside.otelTraceID, inside.otelSpanID, inside.otelTraceSampled) == (span.trace_id, span.span_id, True)
    assert inside.otelServiceName == outside.otelServiceName == "test"
    assert (outside.trace_id, outside.span_id, outside.otelTraceSampled) == ("0", "0", False)
    assert inside.getMessage() == "inside it"
    agent()


def test_what_the_application_adds_counts(agent, logger):
    logger, records = logger
    with tracer.start_as_current_span("request") as span:
        logger.info("mine", extra={"trace_id": "mine", "otelSpanID": "mine"})
    (record,) = records
    assert (record.trace_id, record.otelSpanID, record.span_id) == ("mine", "mine", span.span_id)
    agent()


def test_records_keep_their_ids_on_the_way_through_a_queue(agent, logger):
    logger, records = logger
    waiting = queue.Queue()
    logger.handlers, handlers = [logging.handlers.QueueHandler(waiting)], logger.handlers
    with tracer.start_as_current_span("request") as span:
        logger.info("inside")
    listener = logging.handlers.QueueListener(waiting, *handlers)
    listener.start()
    listener.stop()
    assert [record.trace_id for record in records] == [span.trace_id]
    agent()


def test_a_factory_and_a_class_of_the_applications_own(agent, logger):
    logger, records = logger

    class Record(logging.LogRecord):
        pass

    before = logging.getLogRecordFactory()
    logging.setLogRecordFactory(Record)
    try:
        with tracer.start_as_current_span("request") as span:
            logger.info("inside")
    finally:
        logging.setLogRecordFactory(before)
    assert [(type(record), record.trace_id) for record in records] == [(Record, span.trace_id)]
    agent()


def test_records_are_made_whatever_the_arguments(agent, logger):
    logger, _ = logger
    given = {"name": "shop", "level": 20, "fn": "", "lno": 1, "msg": "made", "args": (), "exc_info": None}
    own = logging.Logger.makeRecord.__wrapped__

    def anothers(self, *args, more=None, **kwargs):
        record = own(self, *args, **kwargs)
        record.more = more
        return record

    with tracer.start_as_current_span("request") as span:
        records = [
            logger.makeRecord(**given),
            logger.makeRecord(*given.values(), extra={"more": 1}),
            patches.make_record(anothers)(logger, *given.values(), more=2),
        ]
    assert [record.trace_id for record in records] == [span.trace_id] * 3
    assert [getattr(record, "more", 0) for record in records] == [0, 1, 2]
    agent()


LOG = """
import logging, sys
from pitviper import tracer
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.INFO)
with tracer.start_as_current_span("request") as span:
    logging.info("inside")
    try: 1 / 0
    except ZeroDivisionError: logging.exception("failed")
logging.info("outside")
print(span.trace_id, span.span_id)
"""


def test_lines_stay_as_they_are(run):
    lines = run(LOG).stdout.splitlines()
    assert [lines[0], lines[1], lines[-2]] == ["INFO inside", "ERROR failed", "INFO outside"]


@pytest.mark.parametrize("variable", ["PITVIPER_LOGGING_APPEND", "OTEL_PYTHON_LOG_CORRELATION"])
def test_lines_have_the_ids_when_asked(run, variable):
    lines = run(LOG, **{variable: "true"}).stdout.splitlines()
    trace_id, span_id = lines[-1].split()
    ids = f" trace_id={trace_id} span_id={span_id}"
    assert [lines[0], lines[1], lines[-2]] == [f"INFO inside{ids}", f"ERROR failed{ids}", "INFO outside"]
    assert lines[2].startswith("Traceback")


def test_a_trace_that_is_not_recorded_says_so(run):
    source = """
import logging
from pitviper import tracer
logging.Logger.handle = lambda self, record: print(len(record.trace_id), record.otelTraceSampled)
with tracer.start_as_current_span("request"):
    logging.getLogger().warning("inside")
"""
    assert run(source, PITVIPER_SAMPLE_RATE="0").stdout == "32 False\n"


def structured(**bound):
    out = io.StringIO()
    factory = structlog.WriteLoggerFactory(out)
    logger = structlog.wrap_logger(factory(), processors=[structlog.processors.JSONRenderer()]).bind(**bound)
    return logger, lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def test_structlog(agent):
    logger, lines = structured(shop=1)
    mine, my_lines = structured(trace_id="bound")
    with tracer.start_as_current_span("request") as span:
        logger.info("inside", a=1)
        logger.info("given", span_id="mine")
        mine.info("bound")
    logger.info("outside")
    ids = {"trace_id": span.trace_id, "span_id": span.span_id}
    assert lines() == [
        {"shop": 1, "a": 1, "event": "inside", **ids},
        {"shop": 1, "event": "given", "trace_id": span.trace_id, "span_id": "mine"},
        {"shop": 1, "event": "outside"},
    ]
    assert my_lines() == [{"trace_id": "bound", "span_id": span.span_id, "event": "bound"}]
    agent()


def test_loguru(agent):
    lines = []
    logger = loguru.logger
    logger.remove()
    handlers = [
        logger.add(lines.append, format="{message} {extra[trace_id]} {extra[span_id]}", filter=lambda r: r["extra"]),
        logger.add(lambda line: lines.append(json.loads(line)["record"]["extra"]), serialize=True, enqueue=True),
    ]
    try:
        with tracer.start_as_current_span("request") as span:
            logger.info("inside")
            logger.bind(trace_id="mine").info("bound")
        logger.info("outside")
        logger.complete()
    finally:
        for handler in handlers:
            logger.remove(handler)
    texts = [str(line) for line in lines if not isinstance(line, dict)]
    assert texts == [f"inside {span.trace_id} {span.span_id}\n", f"bound mine {span.span_id}\n"]
    ids = {"trace_id": span.trace_id, "span_id": span.span_id}
    assert [line for line in lines if isinstance(line, dict)] == [ids, {**ids, "trace_id": "mine"}, {}]
    agent()


def test_disabled_and_uninstalled(run):
    source = """
import logging, sys, loguru, structlog
from pitviper import tracer
from pitviper.instrument import engine
if sys.argv[1] == "uninstall": engine.uninstall()
record = []
logging.Logger.handle = lambda self, made: record.append(made)
loguru.logger.remove(); loguru.logger.add(lambda line: print(line.record["extra"]))
with tracer.start_as_current_span("request"):
    logging.getLogger().warning("x")
    loguru.logger.warning("x")
    structlog.wrap_logger(structlog.PrintLogger(), processors=[structlog.processors.JSONRenderer()]).info("x")
print(hasattr(record[0], "trace_id"), hasattr(record[0], "otelTraceID"))
"""
    expected = '{}\n{"event": "x"}\nFalse False\n'
    assert run(source, "disabled", PITVIPER_INTEGRATIONS_DISABLED="logging,loguru,structlog").stdout == expected
    assert run(source, "uninstall").stdout == expected
    assert _native.current_span() is None
