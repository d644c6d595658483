"""Builds and tests the agent on every CPython found: ``matrix.py build|test|stress|stress-profiler [VERSION ...]``.

Everything lies in ``~/.cache/pitviper``: a wheel and a virtual environment for each version. A wheel
is built again only when a source it is made of has changed.

Tests wait more than they work, so two versions run at the same time: each in a process, an environment
and a temporary folder of its own. ``PITVIPER_TEST_JOBS`` says how many. What they print is shown version
after version. ``stress`` repeats every process model as often as ``PITVIPER_STRESS`` says, ``stress-profiler``
profiles difficult programs for as many seconds each.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Callable, Optional

from interpreters import NEWER, find

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "pitviper"
# The one target folder, also for those who come here without make.
os.environ.setdefault("CARGO_TARGET_DIR", str(CACHE / "target"))
_TESTS = ROOT / "python" / "tests"
#: What goes into a wheel.
_SOURCES = (
    "Cargo.lock",
    "Cargo.toml",
    "pyproject.toml",
    "crates/pitviper-agent",
    "crates/pitviper-model",
    "crates/pitviper-onesdk",
    "crates/pitviper-pprof",
    "crates/pitviper-profiler",
    "crates/pitviper-python",
    "crates/pitviper-wire",
    "python/pitviper",
)
#: How many versions run at the same time. More than two wait for each other on two processors.
_JOBS = int(os.environ.get("PITVIPER_TEST_JOBS") or min(2, os.cpu_count() or 1))
#: One build at a time: all use the same target folder.
_building = threading.Lock()


def source_hash() -> str:
    """A hash of all sources of the wheel."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        path = ROOT / source
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        for file in files:
            if file.suffix not in (".pyc", ".so"):
                digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def build(version: str, interpreter: Path) -> Path:
    """The wheel for one version, built when it is not up to date."""
    with _building:
        return _build(version, interpreter)


def _build(version: str, interpreter: Path) -> Path:
    folder = CACHE / "wheels" / version
    stamp = folder / "sources"
    current = source_hash()
    wheels = list(folder.glob("*.whl"))
    if len(wheels) == 1 and stamp.exists() and stamp.read_text() == current:
        return wheels[0]
    print(f"building the wheel for CPython {version}", flush=True)
    for wheel in wheels:
        wheel.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    maturin = Path(sys.executable).parent / "maturin"
    command = [maturin, "build", "--quiet", "--interpreter", interpreter, "--out", folder]
    subprocess.run(command, cwd=ROOT, check=True)
    stamp.write_text(current)
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(version: str, interpreter: Path, requirements: Path, log: "Optional[IO[bytes]]" = None) -> Path:
    """A virtual environment with the requirements and the current wheel; returns its Python.

    Args:
        version: The interpreter's version.
        interpreter: What it is made with.
        requirements: The file of requirements, in a folder that gives the environment its name.
        log: Where the output of what is run goes; by default this process's own.
    """
    wheel = build(version, interpreter)
    folder = CACHE / "environments" / f"{requirements.parent.parent.name}-{requirements.parent.name}-{version}"
    python = folder / "bin" / "python"
    stamp = folder / "installed"
    current = hashlib.sha256(requirements.read_bytes()).hexdigest() + source_hash()
    if stamp.exists() and stamp.read_text() == current:
        return python

    variables = {**os.environ, "LDFLAGS": _linked(interpreter)}

    def run(*command: "str | Path") -> None:
        subprocess.run(command, check=True, env=variables, stdout=log, stderr=log)

    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # What is as it was need not be installed again; what was never whole begins anew.
    if not stamp.exists() and interpreter.parent != NEWER:
        run(interpreter, "-m", "venv", "--clear", folder)
    elif not stamp.exists():
        # Its ensurepip looks for pip where the system has it; that of the same Debian lies beside it.
        run(interpreter, "-m", "venv", "--clear", "--without-pip", folder)
        (bundled,) = (NEWER.parent / "share" / "python-wheels").glob("pip-*.whl")
        run(python, bundled / "pip", *pip[2:], "--no-index", bundled)
    run(python, *pip, "-r", requirements)
    run(python, *pip, "--force-reinstall", "--no-deps", wheel)
    stamp.write_text(current)
    return python


def _linked(interpreter: Path) -> str:
    """How programs are linked that the interpreter is a part of, as uWSGI is: with the loader and the libraries that
    it has itself."""
    given = os.environ.get("LDFLAGS", "")
    if interpreter.parent != NEWER:
        return given
    (loader,) = (NEWER.parent / "lib").glob("*/ld-linux*.so.*")
    # Those libraries are made for a newer C library than the one that is linked against.
    own = f"-L{loader.parent} -Wl,--allow-shlib-undefined,--disable-new-dtags,-rpath,{loader.parent}"
    return f"{given} {own} -Wl,--dynamic-linker={loader}"


def test(version: str, interpreter: Path, log: "IO[bytes]") -> int:
    """Runs the agent's tests on one version; what is printed goes to the log."""
    python = environment(version, interpreter, _TESTS / "requirements.txt", log)
    # Tests import the installed package, so they must not run where the sources are importable.
    command = [python, ROOT / "scripts" / "steady.py", "--quiet", "-c", ROOT / "pyproject.toml"]
    folder = Path(tempfile.mkdtemp(prefix=f"pitviper-{version}-"))
    command += [f"--basetemp={folder / 'pytest'}", _TESTS]
    status = subprocess.run(command, check=False, env=_variables(), stdout=log, stderr=log).returncode
    if status == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return status


def stress(version: str, interpreter: Path, log: "IO[bytes]", script: str = "stress.py") -> int:
    """Repeats every process model on one version; what is printed goes to the log."""
    python = environment(version, interpreter, _TESTS / "requirements.txt", log)
    command = [python, _TESTS / script, *os.environ.get("PITVIPER_STRESS", "").split()]
    return subprocess.run(command, check=False, env=_variables(), stdout=log, stderr=log).returncode


def _variables() -> "dict[str, str]":
    return {**os.environ, "PITVIPER_TESTING_RAISE": "1", "PYTHONDONTWRITEBYTECODE": "1"}


_Work = Callable[[str, Path, "IO[bytes]"], int]


#: What is done with each version, by what it is called.
_WORKS: "dict[str, _Work]" = {
    "test": test,
    "stress": stress,
    "stress-profiler": functools.partial(stress, script="stress_profiler.py"),
}


def _logged(work: _Work, version: str, interpreter: Path, log: "IO[bytes]") -> "tuple[int, float]":
    """The exit status of what is done with one version, and how many seconds it took."""
    began = time.monotonic()
    try:
        status = work(version, interpreter, log)
    except (OSError, subprocess.CalledProcessError) as error:
        log.write(f"{error}\n".encode())
        status = 1
    return status, time.monotonic() - began


def on_all(work: _Work, interpreters: "dict[str, Path]") -> "list[str]":
    """Tests each version, or puts it under stress, some at the same time; the versions that failed."""
    failed: list[str] = []
    with contextlib.ExitStack() as stack:
        # Files and no pipes: what a test leaves running must not hold up the end.
        logs = {version: stack.enter_context(tempfile.TemporaryFile()) for version in interpreters}
        pool = stack.enter_context(ThreadPoolExecutor(_JOBS))
        running = [
            (version, pool.submit(_logged, work, version, interpreters[version], logs[version])) for version in logs
        ]
        for version, run in running:
            status, seconds = run.result()
            print(f"\n-- CPython {version}: {seconds:.0f} s", flush=True)
            logs[version].seek(0)
            shutil.copyfileobj(logs[version], sys.stdout.buffer)
            sys.stdout.buffer.flush()
            if status != 0:
                failed.append(version)
    return failed


def main() -> int:
    """Runs the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", *_WORKS):
        print(__doc__, file=sys.stderr)
        return 2
    interpreters = find()
    wanted = sys.argv[2:] or list(interpreters)
    if not wanted or set(wanted) - set(interpreters):
        print(f"matrix: found CPython {', '.join(interpreters) or 'none'}, wanted {wanted or 'any'}", file=sys.stderr)
        return 1
    if sys.argv[1] == "build":
        for version in wanted:
            print(build(version, interpreters[version]).name)
        return 0
    failed = on_all(_WORKS[sys.argv[1]], {version: interpreters[version] for version in wanted})
    print(f"\nCPython {', '.join(wanted)}: {'failed on ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
