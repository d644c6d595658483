"""Runs at the start of every interpreter below ``pitviper run``.

This file has to be readable by any Python there is, and must never raise or print on standard
output: the interpreter it runs in belongs to somebody else. The application's own sitecustomize,
which this one hides, is run afterwards.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))

# Tools that are started by applications and have nothing to trace.
_IGNORED = (
    "pip",
    "pip3",
    "pipx",
    "uv",
    "poetry",
    "pdm",
    "conda",
    "virtualenv",
    "easy_install",
    "twine",
    "ensurepip",
    "venv",
    "py_compile",
    "compileall",
    "ruff",
    "mypy",
    "pyright",
    "black",
)


def _program():
    arguments = getattr(sys, "orig_argv", None)
    if not arguments:
        try:
            with open("/proc/self/cmdline", "rb") as file:
                arguments = [part.decode("utf-8", "replace") for part in file.read().split(b"\0")]
        except OSError:
            return ""
    for index, argument in enumerate(arguments[1:], 1):
        if argument == "-m" and index + 1 < len(arguments):
            return arguments[index + 1].split(".")[0]
        if not argument.startswith("-"):
            return os.path.basename(argument)
    return ""


def _start():
    if sys.version_info < (3, 9) or sys.implementation.name != "cpython":
        return
    if _program() in _IGNORED:
        return
    try:
        import pitviper.auto  # pyright: ignore[reportUnusedImport]  # noqa: F401
    except ImportError as error:
        # The first interpreter of a process is traced; what is made beside it does without.
        if "subinterpreter" in str(error):
            return
        # The command runs in an environment that pitviper is not installed in.
        if sys.stderr is not None and os.environ.get("PITVIPER_RUN") == "1":
            sys.stderr.write(
                "pitviper: not tracing %s: %s; install pitviper into the same environment\n" % (sys.executable, error)
            )
    except Exception as error:
        if os.environ.get("PITVIPER_TESTING_RAISE") == "1":
            raise
        # Nothing that goes wrong here may stop the application, nor leave its owner guessing.
        if sys.stderr is not None:
            sys.stderr.write("pitviper: not tracing: %s: %s\n" % (type(error).__name__, error))


def _chain():
    """Runs the sitecustomize that this one stands in front of."""
    paths = [path for path in sys.path if os.path.abspath(path or ".") != _HERE]
    try:
        from importlib.machinery import PathFinder
        from importlib.util import module_from_spec
    except ImportError:
        return
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)  # pyright: ignore


_start()
_chain()
