"""A process under ``ddtrace-run`` that works on demand: each line of its input is a resource to make a span of.

Prints for each, as JSON, its trace, the priority that sampling gave it, and the trace that its log record names.
"""

import json
import logging
import sys

from ddtrace.trace import tracer


class Last(logging.Handler):
    """Remembers the trace of the last record."""

    trace_id: "str | None" = None

    def emit(self, record: logging.LogRecord) -> None:
        self.trace_id = getattr(record, "dd.trace_id", None)


def main() -> None:
    """Runs it."""
    log, last = logging.getLogger("live"), Last()
    log.addHandler(last)
    log.propagate = False
    for line in sys.stdin:
        with tracer.trace("web.request", resource=line.strip(), span_type="web") as span:
            log.warning("working")
        done = {
            "trace_id": f"{span.trace_id:032x}",
            "priority": span.context.sampling_priority,
            "logged": last.trace_id,
        }
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
