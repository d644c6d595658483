"""ddtrace's API in processes of their own: its variables, its imports, and an agent that is switched off."""

_MAPPED = """
import sqlite3, loguru, structlog
from ddtrace import tracer
loguru.logger.remove()
loguru.logger.add(lambda line: print(sorted(line.record["extra"].items())))
with tracer.trace("job") as span:
    sqlite3.connect(":memory:").execute("SELECT 1")
    loguru.logger.info("inside")
    def show(logger, name, event):
        print(sorted(event.items()))
        raise structlog.DropEvent
    structlog.wrap_logger(structlog.PrintLogger(), processors=[show]).info("inside")
    print(f"{span.trace_id:032x} {span.span_id}")
"""


def test_services_are_mapped_and_logs_marked(run, sink):
    done = run(_MAPPED, DD_SERVICE_MAPPING="program:shop,sqlite:store", PITVIPER_COMPAT="ddtrace", DD_ENV="prod")
    assert done.returncode == 0, done.stderr
    assert {span.name: span.resource["service.name"] for span in sink.spans} == {"job": "shop", "SELECT": "store"}
    by_loguru, by_structlog, ids = done.stdout.splitlines()
    trace_id, span_id = ids.split()
    marked = {"dd.env": "prod", "dd.service": "shop", "dd.span_id": span_id, "dd.trace_id": trace_id, "dd.version": ""}
    fields = {**marked, "trace_id": trace_id, "span_id": f"{int(span_id):016x}"}
    assert by_loguru == str(sorted(fields.items()))
    assert by_structlog == str(sorted({**fields, "event": "inside"}.items()))


def test_nothing_is_imported_unless_asked_for(run, sink):
    source = """
import sys
assert not [name for name in sys.modules if name.startswith(("ddtrace", "pitviper.compat.ddtrace"))]
import ddtrace
from ddtrace.trace import tracer
with tracer.trace("a"):
    pass
print(ddtrace.__name__, ddtrace.config.service)
"""
    done = run(source)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pitviper.compat.ddtrace program\n"
    (span,) = sink.wait_for(1)
    assert span.name == "a"


def test_a_disabled_agent_has_the_api_and_traces_nothing(run, sink):
    source = """
from ddtrace import patch, tracer
import ddtrace.auto
patch(flask=True)
with tracer.trace("work", service="shop") as span:
    span.set_tag("a", "b")
import oneagent
oneagent.initialize()
print(oneagent.get_sdk().agent_state)
"""
    done = run(source, PITVIPER_ENABLED="false", PITVIPER_COMPAT="oneagent")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout
    assert not sink.spans
