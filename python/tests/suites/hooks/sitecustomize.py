"""Runs first in every interpreter of a suite, before the agent's own sitecustomize, which it then runs.

Without the variables below it does nothing but that.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def _prepare():
    if os.environ.get("PITVIPER_SUITE_ERRORS"):
        import suite_errors

        suite_errors.install(os.environ["PITVIPER_SUITE_ERRORS"])
    if os.environ.get("PITVIPER_SUITE_FAULTS"):
        import suite_faults

        seed, _, probability = os.environ["PITVIPER_SUITE_FAULTS"].partition(":")
        suite_faults.install(int(seed), float(probability))


def _chain():
    """Runs the sitecustomize that this one stands in front of: the agent's, or the application's."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    spec = PathFinder.find_spec("sitecustomize", [path for path in sys.path if os.path.abspath(path or ".") != _HERE])
    if spec is not None and spec.loader is not None:
        sys.modules["sitecustomize"] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


# The agent's runs whichever sitecustomize it finds, and so this one for the second time.
if not getattr(sys, "_pitviper_suite", False):
    sys._pitviper_suite = True
    _prepare()
    _chain()
