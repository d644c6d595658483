"""Where the system refuses."""

from processes.pattern import Pattern

#: Within the block nobody may start a thread. Root has no limit, so who is root is somebody else meanwhile.
_NO_THREADS = """
import contextlib, resource
@contextlib.contextmanager
def no_threads():
    before, root = resource.getrlimit(resource.RLIMIT_NPROC), os.getuid() == 0
    if root: os.setresuid(65534, 65534, 0)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, before)
        if root: os.setresuid(0, 0, 0)
"""
_SAYS_NO_THREAD = "no thread to export from"

#: Within the block nobody may open a file.
_NO_FILES = """
import contextlib, resource
@contextlib.contextmanager
def no_files():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = os.dup(0); os.close(highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
"""

PATTERNS = (
    Pattern(
        "no threads for a while",
        """
def child():
    with no_threads():
        for _ in range(10): span()
        assert len(os.listdir("/proc/self/task")) == 1
forked(child)
""",
        10,
        setup=_NO_THREADS,
        says=_SAYS_NO_THREAD,
    ),
    Pattern(
        "no threads at the end",
        """
pid = os.fork()
if pid == 0:
    with no_threads():
        for _ in range(10): span()
        began = time.monotonic()
        assert not pitviper.flush(60) and not pitviper.shutdown(60) and time.monotonic() - began < 30
        assert _native.stats()["dropped_shutdown"] == 10, _native.stats()
    os._exit(0)
wait(pid)
""",
        0,
        setup=_NO_THREADS,
        says=_SAYS_NO_THREAD,
    ),
    Pattern(
        "no files for a while",
        """
def child():
    with no_files():
        span()
        while not _native.stats()["retries"]:
            assert not pitviper.flush(0.1)
    span()
forked(child)
""",
        2,
        setup=_NO_FILES,
        says="Too many open files",
    ),
    Pattern(
        "little memory for stacks",
        "forked(lambda: (threading.stack_size(65536), join([threading.Thread(target=span)])))",
    ),
    Pattern(
        "deep recursion",
        "def deeper():\n    with tracer.start_as_current_span('x'): deeper()\n"
        "with tracer.start_as_current_span('outer'):\n    try: deeper()\n    except RecursionError: pass\n"
        "assert _native.current_span() is None\nprobe.write(extra=_native.stats()['started'] - counted[0]); "
        "counted[0] = _native.stats()['started']",
        0,
        setup="counted = [0]; sys.setrecursionlimit(200)",
    ),
)
