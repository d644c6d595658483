"""Green threads: gevent and eventlet, patched before and after the agent."""

from processes.pattern import Pattern

_GREEN = """
def green():
    with tracer.start_as_current_span('green'):
        time.sleep(0.001)
        span()
"""
_GEVENT = "from gevent import monkey; monkey.patch_all()\nimport gevent"
_EVENTLET = "import warnings; warnings.simplefilter('ignore')\nimport eventlet; eventlet.monkey_patch()"


def _patterns(library: str, patch: str, run: str) -> "tuple[Pattern, ...]":
    return (
        Pattern(f"{library} patched after us", run, 20, setup=f"{patch}\n{_GREEN}"),
        Pattern(
            f"{library} patched before us", run, 20, first=f"{patch}\nimport pitviper.auto", setup=_GREEN, bare=True
        ),
        Pattern(f"{library}, then a fork", f"{run}\nforked(span)", 21, setup=f"{patch}\n{_GREEN}"),
        Pattern(
            f"{library}, threads",
            "join([threading.Thread(target=green) for _ in range(5)])",
            10,
            setup=f"{patch}\n{_GREEN}",
        ),
        Pattern(f"{library}, a program", "subprocess.run([sys.executable, '-m', 'child'], check=True)", setup=patch),
        Pattern(f"{library}, flush", f"{run}\nassert pitviper.flush(60)", 20, setup=f"{patch}\n{_GREEN}"),
    )


PATTERNS = (
    *_patterns("gevent", _GEVENT, "gevent.joinall([gevent.spawn(green) for _ in range(10)], raise_error=True)"),
    Pattern(
        "gevent, fork in a greenlet",
        "gevent.joinall([gevent.spawn(forked, span) for _ in range(3)], raise_error=True)",
        3,
        setup=_GEVENT,
    ),
    *_patterns(
        "eventlet",
        _EVENTLET,
        "pool = eventlet.GreenPool()\nfor _ in range(10): pool.spawn(green)\npool.waitall()",
    ),
)
