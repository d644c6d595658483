"""concurrent.futures: what an executor runs continues the trace of who submitted it.

Covers `ThreadPoolExecutor` and `ProcessPoolExecutor` with `submit` and `map`, and so
`loop.run_in_executor`; `asyncio.to_thread` and tasks carry their context by themselves. While the
submitting span is open, what the work does is below it. If it has ended before the work starts, the
work gets a trace of its own with a span, linked to the submitting one. Nothing stays with the pool's
threads or processes when the work is done.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "futures",
    patches=(
        Patch("concurrent.futures.thread:ThreadPoolExecutor.submit", "submit_to_thread"),
        Patch("concurrent.futures.process:ProcessPoolExecutor.submit", "submit_to_process"),
    ),
    spans=(
        SpanShape(
            "{module}.{function}",
            "internal",
            "code.function.name",
            "work that starts in a thread after the span that submitted it has ended",
        ),
    ),
)
