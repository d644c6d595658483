"""Every process model: no hang, no crash, no lost span, no thread or file left over.

Each pattern is repeated a few times here; ``make stress`` repeats them as often as it is told.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from processes import ALL, HERE
from processes.run import Outcome, run

#: Repetitions of each pattern: the first, one to compare with, one more.
ITERATIONS = 2
#: Programs at a time. They mostly wait.
_AT_ONCE = 4


@pytest.fixture(scope="module")
def outcomes(request):
    """What becomes of each pattern; they run side by side, each against a receiver of its own."""
    chosen = {item.name for item in request.session.items}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures: dict[str, Future[Outcome]] = {
            pattern.name: pool.submit(run, pattern, ITERATIONS)
            for pattern in HERE
            if f"test_pattern[{pattern.name}]" in chosen
        }
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("pattern", HERE, ids=lambda pattern: pattern.name)
def test_pattern(pattern, outcomes):
    outcome = outcomes[pattern.name].result()
    assert outcome.problems == [], "\n".join(outcome.problems)


def test_there_are_fifty():
    assert len(HERE) >= 50
    assert len({pattern.name for pattern in ALL}) == len(ALL)
