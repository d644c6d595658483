"""Threads, finalizers and signals while a process runs."""

from processes.pattern import Pattern

_POOL = "from concurrent.futures import ThreadPoolExecutor\ndef work(number):\n    span()\n    return number"

PATTERNS = (
    Pattern("threads", "join([threading.Thread(target=span) for _ in range(20)])", 20),
    Pattern(
        "threads of the lowest kind",
        "lock = threading.Semaphore(0)\nfor _ in range(5): _thread.start_new_thread(lambda: (span(), lock.release()), ())\n"
        "for _ in range(5): lock.acquire()",
        5,
        setup="import _thread",
    ),
    Pattern(
        "executor of threads, then a fork",
        "with ThreadPoolExecutor(4) as pool:\n    list(pool.map(work, range(8)))\n    forked(span)",
        9,
        setup=_POOL,
    ),
    Pattern(
        "a pool of threads",
        "with ThreadPool(3) as pool: pool.map(work, range(6))",
        6,
        setup=f"{_POOL}\nfrom multiprocessing.pool import ThreadPool",
    ),
    Pattern(
        "a span begun in one thread and ended in another",
        "begun = tracer.start_span('x'); join([threading.Thread(target=begun.end)])",
    ),
    Pattern(
        "spans in finalizers",
        "thing = Thing(); thing.me = thing; del thing; gc.collect()",
        setup="class Thing:\n    def __del__(self): span()",
    ),
    Pattern(
        "spans in callbacks of weak references",
        "thing = Thing(); weakref.finalize(thing, span); del thing; gc.collect()",
        setup="import weakref\nclass Thing: pass",
    ),
    Pattern(
        "signals while spans are sent",
        "for _ in range(20): span(); pitviper.flush(60)",
        20,
        setup="signal.signal(signal.SIGALRM, lambda *_: None)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)",
        last="signal.setitimer(signal.ITIMER_REAL, 0)",
    ),
    Pattern(
        "spans in signal handlers",
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "with tracer.start_as_current_span('x'): os.kill(os.getpid(), signal.SIGUSR1)",
        3,
        setup="signal.signal(signal.SIGUSR1, lambda *_: span())",
    ),
    Pattern(
        "signals reach the application and not the exporter",
        "span(); pitviper.flush(60); before = len(seen)\n"
        "for _ in range(5):\n    os.kill(os.getpid(), signal.SIGUSR2)\n"
        "assert len(seen) == before + 5 and set(seen) == {threading.main_thread().ident}",
        setup="seen = []\nsignal.signal(signal.SIGUSR2, lambda *_: seen.append(threading.get_ident()))",
    ),
    Pattern(
        "an exception raised by a signal handler",
        """
try:
    with tracer.start_as_current_span("x"):
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(60)
except TimeoutError:
    pass
""",
        setup="def alarm(*_): raise TimeoutError\nsignal.signal(signal.SIGALRM, alarm)",
    ),
    Pattern(
        "Ctrl-C while a flush waits",
        """
timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
try:
    timer.start()
    while True:
        pitviper.flush(60); time.sleep(0.001)
except KeyboardInterrupt:
    span()
timer.join()
""",
    ),
    Pattern(
        "gc in every allocation", "span(); gc.collect(0)", setup="gc.set_threshold(1)", last="gc.set_threshold(700)"
    ),
)
