"""Ends of a process."""

from processes.pattern import Pattern

#: A server in the program itself that takes connections and never answers.
_HANGING = """
silent = socket.create_server(("127.0.0.1", 0))
pitviper.init(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
"""

#: A receiver that does not answer is waited for so long, in milliseconds.
_IMPATIENT = {"PITVIPER_EXIT_TIMEOUT": "1000", "OTEL_EXPORTER_OTLP_TIMEOUT": "600000"}
#: Seconds that are far more than what waits takes, also on a busy machine, and less than what does not end by itself.
_BOUND = 50.0

PATTERNS = (
    Pattern("end", "span()"),
    Pattern("end by sys.exit()", "span()", last="span(); probe.ending(); sys.exit(0)", last_spans=1),
    Pattern(
        "end by sys.exit() with a status",
        "span()",
        last="span(); probe.ending(); sys.exit(7)",
        last_spans=1,
        returncode=7,
    ),
    Pattern("sys.exit() in a thread", "join([threading.Thread(target=lambda: (span(), sys.exit(3)))])"),
    Pattern(
        "end by an exception",
        "span()",
        last="span()\nraise ValueError('expected')",
        last_spans=1,
        returncode=1,
        says="expected",
    ),
    Pattern(
        "an exception in a thread",
        "thread = threading.Thread(target=fail); thread.start(); thread.join()",
        setup="def fail():\n    with tracer.start_as_current_span('x'): raise ValueError('expected')\n"
        "threading.excepthook = lambda _: None",
    ),
    Pattern("end by _exit", "span()", last="span(); probe.ending(); os._exit(0)", last_spans=1),
    Pattern(
        "end by _exit in a thread",
        "span()",
        last="span(); threading.Thread(target=os._exit, args=(5,)).start(); time.sleep(60)",
        last_spans=1,
        returncode=5,
    ),
    Pattern("spans in exit handlers", last="atexit.register(span)\natexit.register(span)", spans=0, last_spans=2),
    Pattern(
        "spans in exit handlers older than the agent",
        "span()",
        first="import atexit, sys\n"
        "atexit.register(lambda: [tracer.start_span('x').end() for _ in range(3)])\nimport pitviper.auto",
        bare=True,
        last_spans=3,
    ),
    Pattern(
        "a fork in an exit handler older than the agent",
        "span()",
        first="import atexit, os\natexit.register(lambda: forked(span))\nimport pitviper.auto",
        bare=True,
        last_spans=1,
        until=(3, 11),
    ),
    Pattern(
        "an exit handler that raises",
        "span()",
        last="atexit.register(fail)",
        setup="def fail():\n    span()\n    raise ValueError('expected')",
        last_spans=1,
        says="expected",
    ),
    Pattern(
        "a thread that an exit handler starts",
        "span()",
        setup="def late():\n    try: join([threading.Thread(target=span)])\n    except RuntimeError: span()",
        last="atexit.register(late)",
        last_spans=1,
    ),
    Pattern(
        "a span that the last finalizer makes",
        "span()",
        setup="class Thing:\n    def __del__(self, start=tracer.start_span): start('last').end()\nthing = Thing()",
        last_spans=1,
    ),
    Pattern("end with a thread still working", "span()", last="threading.Timer(0.2, span).start()", last_spans=1),
    Pattern(
        "end with daemon threads in the middle of spans",
        "span()",
        setup="def endless():\n    while True: tracer.start_span('unfinished')",
        last="for _ in range(3): threading.Thread(target=endless, daemon=True).start()\ntime.sleep(0.02)",
        ends_within=_BOUND,
        more=True,
    ),
    Pattern(
        "end with daemon threads that flush",
        "span()",
        setup="def endless():\n    while True: pitviper.flush(60)",
        last="for _ in range(3): threading.Thread(target=endless, daemon=True).start()\ntime.sleep(0.02)",
        ends_within=_BOUND,
    ),
    *(
        Pattern(
            f"end with daemon threads inside our calls of {what}",
            "span()",
            setup=f"{setup}\ndef endless():\n    while True:\n        {work}",
            last="for _ in range(3): threading.Thread(target=endless, daemon=True).start()\ntime.sleep(0.02)",
            ends_within=_BOUND,
            more=True,
        )
        for what, setup, work in (
            (
                "Python's type checks",
                "class Thing: pass",
                "tracer.start_span('unfinished', attributes={'thing': Thing()})",
            ),
            (
                "a record's text",
                "import logging\nclass Slow:\n    def __str__(self): time.sleep(0.001); return 'x'",
                "logging.getLogger('shop').info(Slow())",
            ),
            (
                "an exception's text",
                "class Slow(Exception):\n    def __str__(self): time.sleep(0.001); return 'x'",
                "tracer.start_span('unfinished').record_exception(Slow())",
            ),
            (
                "a span processor",
                "from pitviper.opentelemetry import SpanProcessor, TracerProvider\n"
                "class Slow(SpanProcessor):\n    def on_end(self, span): time.sleep(0.001)\n"
                "provider = TracerProvider(); provider.add_span_processor(Slow())\n"
                "own = provider.get_tracer('own')",
                "own.start_span('unfinished').end()",
            ),
        )
    ),
    Pattern(
        "end by a signal that is handled",
        "span()",
        last="signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nspan()\nos.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(60)",
        last_spans=1,
    ),
    Pattern(
        "end by Ctrl-C",
        "span()",
        last="span()\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)",
        last_spans=1,
        returncode=-2,
        says="KeyboardInterrupt",
    ),
    Pattern(
        "end by a signal that nobody handles",
        "span(); pitviper.flush(60)",
        last="probe.ending(); os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)",
        returncode=-15,
    ),
    Pattern("shutdown by the application", "span()", last="span(); assert pitviper.shutdown(60)", last_spans=1),
    Pattern("start again and again", "pitviper.init(); span(); pitviper.flush(60)"),
    Pattern(
        "nobody listens at the end",
        last="socket_ = socket.create_server(('127.0.0.1', 0)); port = socket_.getsockname()[1]; socket_.close()\n"
        "pitviper.init(endpoint=f'http://127.0.0.1:{port}'); span()",
        spans=0,
        says="no export to http://127.0.0.1",
        ends_within=_BOUND,
    ),
    Pattern(
        "who listens never answers",
        spans=0,
        last=f"{_HANGING}span()",
        says=None,
        environ=_IMPATIENT,
        ends_within=_BOUND,
    ),
    Pattern(
        "who listens never answers a child",
        spans=0,
        last=f"{_HANGING}began = time.monotonic(); forked(span); assert time.monotonic() - began < {_BOUND}",
        says=None,
        environ=_IMPATIENT,
    ),
    Pattern(
        "who listens answers slowly",
        spans=0,
        setup="""
def slow(server):
    client = server.accept()[0]
    seen = b""
    while b"slow one" not in seen: seen += client.recv(65536)
    time.sleep(0.5)
    client.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
    client.recv(1)
""",
        last="""
server = socket.create_server(("127.0.0.1", 0))
pitviper.init(endpoint=f"http://127.0.0.1:{server.getsockname()[1]}")
threading.Thread(target=slow, args=(server,), daemon=True).start()
span("slow one")
assert pitviper.shutdown(60)
probe.check()
""",
        environ={"PITVIPER_METRICS_ENABLED": "false"},
    ),
    Pattern(
        "pending work of an executor at the end",
        last="pool = ThreadPoolExecutor(1)\nfor _ in range(5): pool.submit(span)",
        setup="from concurrent.futures import ThreadPoolExecutor",
        spans=0,
        last_spans=5,
    ),
)
