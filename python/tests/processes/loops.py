"""Event loops, and other interpreters."""

from processes.pattern import Pattern

_MAIN = "async def main():\n    with tracer.start_as_current_span('x'): await asyncio.sleep(0)\n"

_SUBINTERPRETER = """
module = 'interpreters' if sys.version_info >= (3, 13) else 'xxsubinterpreters'
interpreters = __import__('_' + module)
def other(code):
    number = interpreters.create()
    try:
        interpreters.run_string(number, code)
    finally:
        interpreters.destroy(number)
"""

PATTERNS = (
    Pattern(
        "asyncio",
        "asyncio.run(main())",
        10,
        setup="async def one():\n    with tracer.start_as_current_span('task'): await asyncio.sleep(0)\n"
        "async def main():\n    await asyncio.gather(*(one() for _ in range(10)))",
    ),
    Pattern(
        "asyncio's subprocesses",
        "asyncio.run(main())",
        2,
        setup="async def main():\n    for _ in range(2):\n"
        "        child = await asyncio.create_subprocess_exec(sys.executable, '-m', 'child')\n"
        "        assert await child.wait() == 0",
    ),
    Pattern(
        "asyncio in threads",
        "join([threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)])",
        3,
        setup=_MAIN,
    ),
    Pattern(
        "asyncio's executor",
        "asyncio.run(main())",
        4,
        setup="async def main():\n    loop = asyncio.get_running_loop()\n"
        "    await asyncio.gather(*(loop.run_in_executor(None, span) for _ in range(4)))",
    ),
    Pattern(
        "fork inside a running loop",
        "asyncio.run(main())",
        2,
        setup="async def main():\n    with tracer.start_as_current_span('x'): forked(span)\n    await asyncio.sleep(0)",
    ),
    Pattern("fork, child runs a loop", "asyncio.run(main()); forked(lambda: asyncio.run(main()))", 2, setup=_MAIN),
    Pattern(
        "a task that is cancelled at the end of its loop",
        "asyncio.run(main())",
        2,
        setup="async def endless():\n    with tracer.start_as_current_span('cancelled'): await asyncio.sleep(60)\n"
        "async def main():\n    task = asyncio.create_task(endless()); await asyncio.sleep(0); span()",
    ),
    Pattern(
        "a signal that a loop handles",
        "asyncio.run(main())",
        setup="async def main():\n    seen = asyncio.Event()\n"
        "    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, seen.set)\n"
        "    os.kill(os.getpid(), signal.SIGUSR1); await seen.wait(); span()",
    ),
    Pattern(
        "uvloop, then a fork",
        "loop = uvloop.new_event_loop()\nloop.run_until_complete(main())\nloop.close()\nforked(span)",
        2,
        setup=f"import uvloop\n{_MAIN}",
    ),
    Pattern(
        "uvloop's subprocesses",
        "loop = uvloop.new_event_loop()\nloop.run_until_complete(main())\nloop.close()",
        setup="import uvloop\nasync def main():\n"
        "    child = await asyncio.create_subprocess_exec(sys.executable, '-m', 'child')\n"
        "    assert await child.wait() == 0",
    ),
    # Python itself keeps some memory of each that there was, so the program is run again and not they.
    Pattern("subinterpreter", "span(); other('import json')", setup=_SUBINTERPRETER, repeat=False),
    Pattern(
        "subinterpreter that wants the agent",
        "span(); other('try:\\n    import pitviper\\nexcept ImportError:\\n    pass')",
        setup=_SUBINTERPRETER,
        repeat=False,
    ),
    Pattern(
        "subinterpreter in a thread, then a fork",
        "join([threading.Thread(target=other, args=('x = 1',))]); forked(span)",
        setup=_SUBINTERPRETER,
        repeat=False,
    ),
)
