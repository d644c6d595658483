"""Builds and tests the agent on every CPython found: ``matrix.py build|test [VERSION ...]``.

Everything lies in ``~/.cache/pitviper``: a wheel and a virtual environment for each version. A wheel
is built again only when a source it is made of has changed.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from interpreters import find

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "pitviper"
# The one target folder, also for those who come here without make.
os.environ.setdefault("CARGO_TARGET_DIR", str(CACHE / "target"))
#: What goes into a wheel.
_SOURCES = (
    "Cargo.lock",
    "Cargo.toml",
    "pyproject.toml",
    "crates/pitviper-agent",
    "crates/pitviper-model",
    "crates/pitviper-python",
    "crates/pitviper-wire",
    "python/pitviper",
)


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
    command = [maturin, "build", "--release", "--quiet", "--interpreter", interpreter, "--out", folder]
    subprocess.run(command, cwd=ROOT, check=True)
    stamp.write_text(current)
    (wheel,) = folder.glob("*.whl")
    return wheel


def environment(version: str, interpreter: Path, requirements: Path) -> Path:
    """A virtual environment with the requirements and the current wheel; returns its Python."""
    wheel = build(version, interpreter)
    folder = CACHE / "environments" / f"{requirements.parent.parent.name}-{requirements.parent.name}-{version}"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    stamp = folder / "installed"
    current = hashlib.sha256(requirements.read_bytes()).hexdigest() + source_hash()
    if not stamp.exists() or stamp.read_text() != current:
        subprocess.run([*pip, "-r", requirements], check=True)
        subprocess.run([*pip, "--force-reinstall", "--no-deps", wheel], check=True)
        stamp.write_text(current)
    return python


def test(version: str, interpreter: Path) -> int:
    """Runs the agent's tests on one version."""
    python = environment(version, interpreter, ROOT / "python" / "tests" / "requirements.txt")
    print(f"\n-- CPython {version}", flush=True)
    # Tests import the installed package, so they must not run where the sources are importable.
    command = [python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml"]
    variables = {**os.environ, "PITVIPER_TESTING_RAISE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([*command, ROOT / "python" / "tests"], check=False, env=variables).returncode


def main() -> int:
    """Runs the command line."""
    if len(sys.argv) < 2 or sys.argv[1] not in ("build", "test"):
        print(__doc__, file=sys.stderr)
        return 2
    interpreters = find()
    wanted = sys.argv[2:] or list(interpreters)
    if not wanted or set(wanted) - set(interpreters):
        print(f"matrix: found CPython {', '.join(interpreters) or 'none'}, wanted {wanted or 'any'}", file=sys.stderr)
        return 1
    failed: list[str] = []
    for version in wanted:
        if sys.argv[1] == "build":
            print(build(version, interpreters[version]).name)
        elif test(version, interpreters[version]) != 0:
            failed.append(version)
    if sys.argv[1] == "test":
        print(f"\nCPython {', '.join(wanted)}: {'failed on ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
