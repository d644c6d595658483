"""Records of logging, and of OpenTelemetry's loggers, on their way to a receiver."""

import logging
import os
import threading

import pytest
from opentelemetry import _logs as otel_logs
from opentelemetry._logs import LogRecord, SeverityNumber

import pitviper
from pitviper import _native
from pitviper.logs import LogHandler
from pitviper.opentelemetry.logs import LoggerProvider


@pytest.fixture
def logs(sink):
    """The agent in this process, reporting to the receiver; call it for the records so far."""
    pitviper.init(endpoint=sink.endpoint, service="test", runtime_metrics=False, libraries=False)

    def records():
        assert pitviper.flush(10)
        # Libraries that other tests left running write some as well.
        return [log for log in sink.logs if log.scope.startswith(("shop.", "lib"))]

    return records


@pytest.fixture
def logger(request):
    """A logger of the test's own that shows nothing."""
    made = logging.getLogger(f"shop.{request.node.name}")
    made.propagate = False
    made.addHandler(logging.NullHandler())
    made.setLevel(logging.DEBUG)
    yield made
    made.handlers.clear()


def _ids(span):
    context = span.get_span_context()
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def test_a_record_arrives_with_its_trace_and_place(logs, logger):
    with pitviper.tracer.start_as_current_span("request") as span:
        logger.warning("order %s of %d", "a", 7, extra={"order": 7, "parts": ["x", 1], "none": None})
    logger.info("outside")
    inside, outside = logs()
    assert inside.body == "order a of 7" and inside.scope == logger.name
    assert (inside.severity, inside.severity_text) == (13, "WARNING")
    assert (inside.trace_id, inside.span_id, inside.flags) == (*_ids(span), 1)
    assert inside.attributes["order"] == 7 and inside.attributes["parts"] == ["x", 1]
    assert "none" not in inside.attributes
    assert inside.attributes["code.file.path"] == __file__
    assert inside.attributes["code.function.name"] == "test_a_record_arrives_with_its_trace_and_place"
    assert inside.attributes["thread.id"] == threading.get_ident()
    assert set(inside.attributes) == {
        "order", "parts", "code.file.path", "code.function.name", "code.line.number", "thread.id", "thread.name",
    }  # fmt: skip
    assert 0 <= inside.observed_ns - inside.time_ns < 5e9
    assert (outside.trace_id, outside.severity) == ("", 9)
    assert outside.resource["service.name"] == "test" and outside.resource["process.pid"] == os.getpid()


def test_an_exception_is_described(logs, logger):
    try:
        raise KeyError("missing")
    except KeyError:
        logger.exception("failed", stack_info=True)
    (record,) = logs()
    assert record.attributes["exception.type"] == "KeyError"
    assert record.attributes["exception.message"] == "'missing'"
    assert "raise KeyError" in record.attributes["exception.stacktrace"]
    assert "test_log_export.py" in record.attributes["code.stacktrace"]
    assert record.severity == 17


@pytest.mark.parametrize(("level", "number"), [(20, 9), (25, 12), (30, 13), (41, 18), (50, 21), (70, 24), (1000, 24)])
def test_levels_become_severities(logs, logger, level, number):
    logger.log(level, "x")
    assert [record.severity for record in logs()] == [number]


def test_what_the_logger_or_the_setting_leaves_out_is_not_sent(logs, logger):
    logger.debug("below the setting")
    logger.setLevel(logging.ERROR)
    logger.warning("below the logger's level")
    logger.addFilter(lambda record: "secret" not in record.getMessage())
    logger.error("secret")
    logger.error("sent")
    assert [record.body for record in logs()] == ["sent"]


def test_once_however_many_handlers_there_are(logs, logger):
    logger.addHandler(logging.NullHandler())
    logger.addHandler(LogHandler())
    logger.getChild("deep").error("once")
    assert [record.body for record in logs()] == ["once"]


class _Chatty:
    """Logs while it is shown."""

    def __init__(self, logger):
        self.logger = logger

    def __str__(self):
        self.logger.error("shown: %s", self if self.logger.name == "never" else "me")
        return "chatty"


def test_logging_while_a_record_is_read_does_not_go_on_for_ever(logs, logger):
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    logger.addHandler(handler)
    logger.error("%s", _Chatty(logger))
    bodies = [record.body for record in logs()]
    # What is logged while the agent reads the record is shown by the handlers and not sent; what is logged
    # while the handlers show it is a record like any other.
    assert bodies == ["chatty", "shown: me"]
    assert shown == ["shown: me", "shown: me", "chatty"]


def test_records_that_cannot_be_read_are_sent_as_far_as_they_can(logs, logger):
    class Broken:
        def __str__(self):
            raise RuntimeError("no text")

        __repr__ = __str__

    logger.error("%d orders", "three")
    logger.error(Broken())
    logger.error("lone \udce9 surrogate", extra={"bad\udce9": 1, "object": Broken()})
    logger.error("x" * 100_000)
    logger.error({"a": 1})
    one, two, three, four, five = logs()
    assert one.body == "%d orders" and two.body == ""
    assert three.body.startswith("lone") and "object" not in three.attributes
    assert len(four.body) == 64 * 1024 and four.attributes["pitviper.log.truncated"] is True
    assert five.body == "{'a': 1}"


class _Braces(logging.LogRecord):
    """A record with a format of its own."""

    def getMessage(self):
        return self.msg.format(*self.args)


def test_a_record_says_what_its_handlers_show(logs, logger, monkeypatch):
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    logger.addHandler(handler)
    logger.info("%(a)s and %(b)d", {"a": "x", "b": 2})
    logger.info("100%")
    logger.info("%d%%", 5)
    monkeypatch.setattr(logging.LogRecord, "getMessage", lambda record: f"<{record.msg}>")
    logger.info("%s", "patched")
    monkeypatch.undo()
    logging.setLogRecordFactory(_Braces)
    try:
        logger.info("{} of {}", 1, 2)
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert [record.body for record in logs()] == shown == ["x and 2", "100%", "5%", "<%s>", "1 of 2"]


def test_a_full_queue_drops_and_counts(run, sink):
    source = """
import logging, pitviper
logger = logging.getLogger("shop")
logger.propagate = False
logger.addHandler(logging.NullHandler())
logger.setLevel("INFO")
for number in range(1000):
    logger.info("record %d", number)
stats = pitviper._native.stats()
print(stats["logs_dropped_queue_full"] + stats["logs_pending"] + stats["logs_exported"], stats["logs_dropped_queue_full"] > 0)
"""
    done = run(source, OTEL_BLRP_MAX_QUEUE_SIZE="50", OTEL_BLRP_SCHEDULE_DELAY="60000", PITVIPER_LIBRARIES_ENABLED="0")
    assert done.stdout == "1000 True\n", done.stderr
    assert len(sink.logs) == 50


def test_the_first_records_start_no_thread(run, sink):
    # Servers log while they start, and fork then. Many records are sent at once even so.
    source = """
import logging, os, time, pitviper
logger = logging.getLogger("shop")
logger.propagate = False
logger.addHandler(logging.NullHandler())
logger.setLevel("INFO")
for number in range(200): logger.info("early")
threads = [len(os.listdir("/proc/self/task"))]
for number in range(200): logger.info("many")
until = time.monotonic() + 10
while pitviper._native.stats()["logs_exported"] < 400 and time.monotonic() < until: time.sleep(0.01)
print(threads, pitviper._native.stats()["logs_exported"] >= 400)
"""
    done = run(source, OTEL_BLRP_SCHEDULE_DELAY="20")
    assert done.stdout == "[1] True\n", done.stderr


def test_threads_lose_nothing_and_traces_do_not_mix(logs, logger):
    def work(number):
        with pitviper.tracer.start_as_current_span(f"work {number}") as span:
            for _ in range(200):
                logger.info(_ids(span)[0])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = logs()
    assert len(records) == 800 and all(record.body == record.trace_id for record in records)


def test_basic_config_and_last_resort_work_as_ever(run, sink):
    source = """
import logging
logging.warning
logger = logging.getLogger("shop")
logger.warning("by the last resort")
assert logging.root.handlers == [] and not logger.handlers
logging.basicConfig(level="INFO", format="%(name)s %(funcName)s %(message)s")
def here():
    logger.info("hello")
here()
"""
    done = run(source)
    assert done.stderr == "by the last resort\nshop here hello\n"
    assert [log.body for log in sink.logs] == ["by the last resort", "hello"]
    assert sink.logs[1].attributes["code.function.name"] == "here"


@pytest.mark.parametrize("off", [{"PITVIPER_LOGS_ENABLED": "false"}, {"OTEL_LOGS_EXPORTER": "none"}])
def test_switched_off(run, sink, off):
    source = "import logging, pitviper\nlogging.error('unsent')\npitviper.tracer.start_span('sent').end()\n"
    assert run(source, PITVIPER_LIBRARIES_ENABLED="false", **off).returncode == 0
    sink.wait_for(1)
    assert sink.logs == [] and "/v1/logs" not in sink.by_path


def test_levels_can_be_chosen(run, sink):
    source = "import logging\nlogging.basicConfig(level=1)\nlogging.debug('d')\nlogging.error('e')\n"
    run(source, PITVIPER_LOGS_LEVEL="debug")
    assert [log.body for log in sink.logs] == ["d", "e"]
    sink.logs.clear()
    run(source, PITVIPER_LOGS_LEVEL="error")
    assert [log.body for log in sink.logs] == ["e"]


def test_a_handler_for_chosen_loggers(run, sink):
    source = """
import logging, pitviper.logs
logging.getLogger("shop").addHandler(pitviper.logs.LogHandler())
logging.getLogger("shop.orders").error("chosen")
logging.getLogger("other").error("other")
"""
    run(source, PITVIPER_INTEGRATIONS_DISABLED="log_export")
    assert [(log.scope, log.body) for log in sink.logs] == [("shop.orders", "chosen")]


def test_forked_children_send_their_own(run, sink):
    source = """
import logging, os, pitviper
logger = logging.getLogger("shop")
logger.error("parent")
children = [os.fork() for _ in range(1)]
if 0 in children:
    logger.error("child")
    os._exit(0 if pitviper.flush(10) else 1)
assert os.waitpid(children[0], 0)[1] == 0
print(children[0])
"""
    done = run(source, OTEL_BLRP_SCHEDULE_DELAY="60000", PYTHONWARNINGS="ignore::DeprecationWarning")
    assert done.returncode == 0, done.stderr
    pids = {log.body: log.resource["process.pid"] for log in sink.logs}
    assert len(sink.logs) == 2 and pids["child"] == int(done.stdout) != pids["parent"]


def test_opentelemetrys_loggers(logs):
    logger = LoggerProvider().get_logger("lib", "2.0", attributes={"team": "a"})
    with pitviper.tracer.start_as_current_span("request") as span:
        logger.emit(
            body={"items": [1, "two"]},
            timestamp=1_700_000_000_000_000_000,
            severity_number=SeverityNumber.ERROR,
            severity_text="bad",
            attributes={"k": 1.5},
            event_name="order.failed",
            exception=ValueError("no"),
        )
        logger.emit(LogRecord(body="as a record", timestamp=1, severity_number=SeverityNumber.INFO))
    logger.emit(LogRecord(body="minimal"))
    one, two, three = logs()
    assert one.body == {"items": [1, "two"]} and one.event_name == "order.failed"
    assert (one.severity, one.severity_text, one.time_ns) == (17, "bad", 1_700_000_000_000_000_000)
    assert (one.scope, one.scope_version, one.trace_id, one.span_id) == ("lib", "2.0", *_ids(span))
    assert one.attributes["k"] == 1.5 and one.attributes["exception.type"] == "ValueError"
    assert two.body == "as a record" and two.time_ns == 1
    assert (three.body, three.trace_id, three.severity) == ("minimal", "", 0)
    assert logger.enabled()


def test_the_api_leads_to_ours_until_an_application_sets_a_provider(run, sink):
    source = """
from opentelemetry import _logs
early = _logs.get_logger("early")
early.emit(_logs.LogRecord(body="ours"))
seen = []
class Own(_logs.LoggerProvider):
    def get_logger(self, name, version=None, schema_url=None, attributes=None):
        class Mine(_logs.NoOpLogger):
            def emit(self, *args, **kwargs): seen.append(name)
        return Mine(name)
_logs.set_logger_provider(Own())
early.emit(_logs.LogRecord(body="theirs"))
_logs.get_logger("late").emit(_logs.LogRecord(body="theirs"))
print(seen)
"""
    done = run(source)
    assert done.stdout == "['early', 'late']\n", done.stderr
    assert [(log.scope, log.body) for log in sink.logs] == [("early", "ours")]


def test_the_api_hands_out_a_provider():
    assert hasattr(otel_logs.get_logger_provider(), "get_logger")
    assert _native.stats()["logs_dropped_forking"] >= 0
