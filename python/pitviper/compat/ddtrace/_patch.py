"""``patch`` and ``patch_all``: which libraries are instrumented.

The agent instruments every library it knows when that is imported, whether or not it is named here; what is
named with ``False`` is left alone.
"""

from typing import Any

from pitviper import bootstrap
from pitviper.compat.datadog import ours
from pitviper.instrument import engine

from ._deprecations import deprecate


def patch(raise_errors: bool = True, **patch_modules: Any) -> None:
    """Instruments libraries: ``patch(psycopg=True, redis=True)``.

    Args:
        raise_errors: Accepted; a library without an integration is not traced, and no error.
        **patch_modules: Names of ddtrace's integrations; those with ``False`` are left alone.
    """
    if not bootstrap.is_started():
        bootstrap.init()
    for name, wanted in patch_modules.items():
        if not wanted:
            for known in ours(name):
                engine.leave_alone(known)


def patch_all(**patch_modules: Any) -> None:
    """Instruments all libraries there are integrations for, but those that are named with ``False``."""
    deprecate("patch_all()", "use `import ddtrace.auto`, `pitviper run` or patch()")
    patch(**patch_modules)
