"""Process models: what applications do with processes, threads and their ends, one short entry each.

``pattern`` says what an entry is, the modules beside it have them by subject, ``ALL`` is all of them, ``run``
runs one. ``probe`` and ``child`` are imported by the programs.
"""

from processes import ends, forks, green, limits, loops, pools, programs, threads
from processes.pattern import Pattern

ALL: "tuple[Pattern, ...]" = (
    *forks.PATTERNS,
    *programs.PATTERNS,
    *pools.PATTERNS,
    *threads.PATTERNS,
    *ends.PATTERNS,
    *limits.PATTERNS,
    *loops.PATTERNS,
    *green.PATTERNS,
)
#: Those this Python has the means for.
HERE = tuple(pattern for pattern in ALL if pattern.is_for_this_python())
