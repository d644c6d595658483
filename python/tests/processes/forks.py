"""Forks, wherever they happen."""

from processes.pattern import Pattern

PATTERNS = (
    Pattern("fork", "forked(span)"),
    Pattern("fork, child leaves by exit()", "forked(span, sys.exit)"),
    Pattern("fork, child ends as programs do", "if os.fork() == 0:\n    span(); sys.exit()\nos.wait()"),
    Pattern("fork of a fork", "forked(lambda: (span(), forked(span)))", 2),
    Pattern(
        "fork of a fork of a fork",
        "def deeper(depth):\n    span()\n    if depth: forked(lambda: deeper(depth - 1))\ndeeper(5)",
        6,
    ),
    Pattern("fork with spans waiting", "span(); forked(span)", 2),
    Pattern("fork inside a span", "with tracer.start_as_current_span('outer'): forked(span)", 2),
    Pattern(
        "fork inside a span, which the child ends too",
        "with tracer.start_as_current_span('outer') as outer: forked(lambda: (outer.end(), span()))",
        2,
    ),
    Pattern("fork before the first span of the parent", "forked(span)", last="span()", last_spans=1),
    Pattern("fork in a thread", "join([threading.Thread(target=forked, args=(span,))])"),
    Pattern("forks in several threads", "join([threading.Thread(target=forked, args=(span,)) for _ in range(4)])", 4),
    Pattern(
        "fork storm",
        """
children = []
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        span(); os._exit(0)
    span()
    children.append(pid)
for pid in children: wait(pid)
""",
        60,
    ),
    Pattern(
        "fork while threads make spans",
        """
def spin():
    for _ in range(200): span()
threads = [threading.Thread(target=spin) for _ in range(3)]
for thread in threads: thread.start()
for _ in range(3): forked(span)
for thread in threads: thread.join()
""",
        603,
    ),
    Pattern(
        "fork while a thread flushes",
        """
flusher = threading.Thread(target=lambda: [(span(), pitviper.flush(60)) for _ in range(5)])
flusher.start()
for _ in range(3): forked(span)
flusher.join()
""",
        8,
    ),
    Pattern(
        "fork while a thread makes the first spans",
        """
first = threading.Thread(target=lambda: [(span(), pitviper.flush(60)) for _ in range(5)])
first.start()
for _ in range(6): forked(span)
first.join()
""",
        11,
        repeat=False,
    ),
    Pattern(
        "fork while the first export begins",
        "forked(lambda: (span(), pitviper.flush(0), forked(lambda: (span(), pitviper.flush(0), forked(span)))))",
        3,
    ),
    Pattern("fork, child makes threads", "forked(lambda: join([threading.Thread(target=span) for _ in range(3)]))", 3),
    Pattern("fork, child changes settings", "forked(lambda: (pitviper.init(service='child'), span()))"),
    Pattern("fork, child shuts down", "forked(lambda: (span(), pitviper.shutdown(60), span()))"),
    Pattern(
        "fork without a word to the interpreter",
        "pid = fork()\nif pid == 0:\n    span(); os._exit(0)\nspan(); wait(pid)",
        2,
        # Holds the interpreter lock, as servers written in C do.
        setup="import ctypes\nfork = ctypes.PyDLL(None).fork",
    ),
    Pattern(
        "fork without a word while the agent has the interpreter",
        "span()\n"
        "for _ in range(10):\n"
        "    usleep(1500); pid = fork()\n"
        "    if pid == 0:\n"
        "        time.sleep(0.001); leave(0)\n"
        "    wait(pid)\n",
        1,
        # Lets go of the interpreter lock meanwhile: a child that inherits it from another thread never gets it.
        setup="import ctypes\nfrom pitviper import runtime\nlibrary = ctypes.CDLL(None)\n"
        "fork, usleep, leave = library.fork, library.usleep, library._exit\n"
        "runtime.add_observer(lambda: sum(range(60_000)))",
        environ={"PITVIPER_METRICS_INTERVAL": "1"},
    ),
    Pattern("fork in an exit handler", "span()", last="atexit.register(forked, span)", last_spans=1, until=(3, 11)),
    Pattern(
        "fork in a signal handler",
        "os.kill(os.getpid(), signal.SIGUSR1); span()",
        2,
        setup="signal.signal(signal.SIGUSR1, lambda *_: forked(span))",
    ),
    Pattern(
        "fork in a finalizer",
        "thing = Thing(); thing.me = thing; del thing; gc.collect()",
        setup="class Thing:\n    def __del__(self):\n        forked(span)",
    ),
    Pattern(
        "spans in fork hooks",
        "forked(span)",
        4,
        setup="os.register_at_fork(before=span, after_in_parent=span, after_in_child=span)",
    ),
    Pattern("fork after gc.freeze", "gc.freeze(); span(); forked(lambda: (gc.unfreeze(), gc.collect(), span()))", 2),
    Pattern(
        "fork with memory traced",
        "span(); forked(lambda: (tracemalloc.take_snapshot(), span()))",
        2,
        setup="import tracemalloc; tracemalloc.start(5)",
        last="tracemalloc.stop()",
    ),
    Pattern("fork with faulthandler", "span(); forked(span)", 2, setup="import faulthandler; faulthandler.enable()"),
    Pattern(
        "child is killed",
        "span()\npid = os.fork()\nif pid == 0:\n    time.sleep(60)\nos.kill(pid, signal.SIGKILL); wait(pid, signal.SIGKILL)",
    ),
    Pattern(
        "fork in a terminal of its own",
        "pid, terminal = pty.fork()\nif pid == 0:\n    span(); os._exit(0)\nwait(pid); os.close(terminal)",
        setup="import pty",
    ),
    Pattern(
        "a forking server",
        """
with Server(("127.0.0.1", 0), Handler) as server:
    thread = threading.Thread(target=lambda: [server.handle_request() for _ in range(2)])
    thread.start()
    for _ in range(2):
        with socket.create_connection(server.server_address) as client:
            client.recv(1)
    thread.join()
""",
        2,
        setup="""
import socketserver
class Server(socketserver.ForkingMixIn, socketserver.TCPServer): pass
class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        span()
""",
    ),
    Pattern(
        "fork with no warning before the first span",
        "program('-X', 'dev', '-W', 'error', '-c', FORKS)",
        2,
        setup="FORKS = 'import os, threading, pitviper\\n"
        "pid = os.fork()\\n"
        "if pid: os.waitpid(pid, 0)\\n"
        'assert threading.active_count() == len(os.listdir("/proc/self/task")) == 1\\n'
        'pitviper.tracer.start_span("x").end()\'',
    ),
)
