"""Memory that a program asks for so fast that not all of it can be looked at: sums stay true."""

from allocated import run
from sampled import LIMIT_S


def test_very_many_small_blocks_are_looked_at_in_some_stretches_of_time_and_sums_stay_true() -> None:
    run(
        """
        import itertools, time
        kept = []
        def many(times):
            for _ in itertools.repeat(None, times):
                bytes(64 - BYTES)
        def few(times):
            for _ in itertools.repeat(None, times):
                bytes(100 - BYTES)
        def large():
            for _ in itertools.repeat(None, 20):
                bytes(100_000 - BYTES)
        def keeps():
            # Without a list of its own: the interpreter keeps those for the next, and one that is sampled stands for many.
            for _ in itertools.repeat(None, 2_000):
                kept.append(bytes(200 - BYTES))
        def works(rounds):
            for _ in itertools.repeat(None, rounds):
                many(80_000)
                few(40_000)
                large()
                keeps()
        start(16_384, 100.0)
        began = time.monotonic()
        while figures()["alloc_stretches"] < 4 and time.monotonic() - began < LIMIT_S / 3:
            works(10)
        assert figures()["alloc_stretches"] >= 4
        # Whether a block of that time is there is seen, whichever stretch it is: one that is sampled stands for 82 or
        # more. The interpreter's tables of where its memory lies stay, and are few and larger.
        kept.clear()
        assert within(take(), "keeps").inuse_objects < 82
        works(300)
        samples = take()
        # What is drawn is one stretch of eight, some fifty times: five standard errors are a quarter.
        for name, size, times in (("many", 64, 80_000), ("few", 100, 40_000)):
            found = within(samples, name)
            assert abs(found.alloc_objects / (times * 300) - 1) < 0.25, (name, found)
            assert abs(found.alloc_space / (size * times * 300) - 1) < 0.25, (name, found)
        found = within(samples, "keeps")
        assert abs(found.inuse_objects / 600_000 - 1) < 0.4, found
        assert abs(found.inuse_space / 120e6 - 1) < 0.4, found
        # Blocks that are passed on to the raw domain are looked at always: each is sampled, nearly.
        found = within(samples, "large")
        assert abs(found.alloc_space / 600e6 - 1) < 0.05, found
        # Nobody allocates any more, so all is looked at again.
        began = time.monotonic()
        while figures()["alloc_stretches"] > 1 and time.monotonic() - began < LIMIT_S / 3:
            time.sleep(0.05)
        assert figures()["alloc_stretches"] == 1
        kept.clear()
        assert within(take(), "keeps").inuse_objects < 82
        _native.profiler_stop()
        print("fine")
        """.replace("LIMIT_S", str(LIMIT_S)),
        interval=None,
    )


def test_tracemalloc_comes_and_goes_while_small_blocks_are_looked_at_now_and_then() -> None:
    run(
        """
        import itertools, time, tracemalloc
        def works():
            for _ in itertools.repeat(None, 100_000):
                bytes(64 - BYTES)
        start(16_384, 1_000.0)
        began = time.monotonic()
        while figures()["alloc_stretches"] < 4 and time.monotonic() - began < LIMIT_S / 3:
            works()
        kept = [makes(50_000) for _ in range(200)]
        for _ in range(50):
            works()
            tracemalloc.start()
            block = makes(64)
            assert tracemalloc.get_object_traceback(block) is not None
            _native.profiler_name_threads()
            works()
            tracemalloc.stop()
            works()
            _native.profiler_name_threads()
        found = within(take(), "makes")
        # What is large was never out of sight.
        assert abs(found.inuse_space / 10e6 - 1) < 0.2, found
        del kept
        assert within(take(), "makes").inuse_space < 100_000
        _native.profiler_stop()
        print("fine")
        """.replace("LIMIT_S", str(LIMIT_S)),
        interval=None,
    )


def test_where_there_would_be_too_many_samples_they_lie_further_apart_and_sums_stay_true() -> None:
    run(
        """
        import itertools, time
        def works(times, size=10_000 - BYTES):
            for _ in itertools.repeat(None, times):
                bytes(size)
        given = dict(allocation_interval=16_384, allocation_rate_hz=250.0)
        assert _native.profiler_start(100.0, 0.01, **given) is None
        assert figures()["alloc_interval"] == 16_384
        began = time.monotonic()
        while figures()["alloc_interval"] < 16 * 16_384 and time.monotonic() - began < LIMIT_S / 3:
            works(10_000)
        assert figures()["alloc_interval"] == 16 * 16_384
        take()
        before = figures()["alloc_samples"]
        works(200_000)
        # One of some 27 is sampled: five standard errors of 7,500.
        found = within(take(), "works")
        assert abs(found.alloc_space / 2e9 - 1) < 0.06, found
        assert abs(found.alloc_objects / 200_000 - 1) < 0.06, found
        # It was one of two.
        assert figures()["alloc_samples"] - before < 20_000
        # Nobody allocates any more.
        began = time.monotonic()
        while figures()["alloc_interval"] > 16_384 and time.monotonic() - began < LIMIT_S / 3:
            time.sleep(0.05)
        assert figures()["alloc_interval"] == 16_384
        # Without a bound they lie where they are to.
        assert _native.profiler_start(100.0, 0.01, allocation_interval=16_384) is None
        began = time.monotonic()
        while time.monotonic() - began < 2.0:
            works(10_000)
            assert figures()["alloc_interval"] == 16_384
        _native.profiler_stop()
        print("fine")
        """.replace("LIMIT_S", str(LIMIT_S)),
        interval=None,
    )
