"""multiprocessing, its relatives, and pools."""

from processes.pattern import Pattern

_WORK = "def work(number):\n    span()\n    return number"


def _context(method: str) -> str:
    return f"{_WORK}\ncontext = multiprocessing.get_context({method!r})"


PATTERNS = (
    *(
        Pattern(
            f"process by {method}", "join([context.Process(target=span) for _ in range(2)])", 2, setup=_context(method)
        )
        for method in ("fork", "spawn", "forkserver")
    ),
    *(
        Pattern(
            f"pool by {method}",
            "with context.Pool(2) as pool:\n    pool.map(work, range(4))\n    pool.close(); pool.join()",
            4,
            setup=_context(method),
        )
        for method in ("fork", "spawn", "forkserver")
    ),
    *(
        Pattern(
            f"executor of processes by {method}",
            "with ProcessPoolExecutor(2, mp_context=context) as pool: assert sorted(pool.map(work, range(4))) == [0, 1, 2, 3]",
            4,
            setup=f"{_context(method)}\nfrom concurrent.futures import ProcessPoolExecutor",
        )
        for method in ("fork", "spawn", "forkserver")
    ),
    Pattern(
        "executor whose processes are recycled",
        "with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool: list(pool.map(work, range(3)))",
        3,
        setup=f"{_context('forkserver')}\nfrom concurrent.futures import ProcessPoolExecutor",
        since=(3, 11),
    ),
    Pattern(
        "pool whose children are recycled",
        "with context.Pool(2, maxtasksperchild=1) as pool:\n"
        "    pool.map(work, range(4), 1)\n    pool.close(); pool.join()",
        4,
        setup=_context("fork"),
    ),
    Pattern(
        "pool that is terminated",
        "with context.Pool(2) as pool: assert pool.map(work, range(4), 1) == [0, 1, 2, 3]",
        4,
        setup=_context("fork"),
    ),
    Pattern(
        "pool in a thread",
        "def run():\n    with context.Pool(2) as pool:\n        pool.map(work, range(4)); pool.close(); pool.join()\n"
        "join([threading.Thread(target=run)])",
        4,
        setup=_context("fork"),
    ),
    Pattern(
        "process of a process",
        "join([context.Process(target=outer)])",
        2,
        setup=f"{_context('fork')}\ndef outer():\n    span(); join([context.Process(target=span)])",
    ),
    Pattern(
        "process that fails",
        "child = context.Process(target=fail); child.start(); child.join(); assert child.exitcode == 3",
        setup=f"{_context('fork')}\ndef fail():\n    span(); sys.exit(3)",
    ),
    Pattern(
        "process that is terminated while it works",
        "child = context.Process(target=stuck); child.start(); inner.recv(); child.terminate(); child.join()\n"
        "assert child.exitcode == -signal.SIGTERM, child.exitcode",
        setup=f"{_context('fork')}\ninner, outer = context.Pipe()\n"
        "def stuck():\n    span(); outer.send(1); time.sleep(60)",
    ),
    Pattern(
        "process with a queue",
        "queue = context.Queue()\nchild = context.Process(target=fill, args=(queue,))\n"
        "child.start(); assert queue.get(timeout=30) == 'done'; child.join(); queue.close(); queue.join_thread()",
        setup=f"{_context('fork')}\ndef fill(queue):\n    span(); queue.put('done')",
    ),
    Pattern(
        "daemonic process that its parent ends",
        "child = context.Process(target=stuck, daemon=True); child.start(); inner.recv()\nchild.kill(); child.join()",
        setup=f"{_context('fork')}\ninner, outer = context.Pipe()\n"
        "def stuck():\n    span(); pitviper.flush(60); outer.send(1); time.sleep(60)",
    ),
    Pattern(
        "manager",
        "with context.Manager() as manager:\n    shared = manager.list()\n"
        "    join([context.Process(target=add, args=(shared,)) for _ in range(2)])\n    assert len(shared) == 2",
        2,
        setup=f"{_context('fork')}\ndef add(shared):\n    span(); shared.append(1)",
    ),
    Pattern(
        "billiard's process",
        "join([billiard.Process(target=span) for _ in range(2)])",
        2,
        setup="import billiard\nbilliard.set_start_method('fork')",
    ),
)
