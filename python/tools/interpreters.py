"""Which CPython interpreters this machine has."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

#: The versions the agent supports.
SUPPORTED = tuple(f"3.{minor}" for minor in range(9, 15))
#: Where scripts/newer-pythons.sh puts those that the system's Debian does not have.
NEWER = Path.home() / ".cache" / "pitviper" / "newer" / "usr" / "bin"
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name, sys.executable)"


def find() -> "dict[str, Path]":
    """The first working interpreter of each supported version: on PATH, in pyenv's folder, or in ours."""
    return _working([*_own(), *(str(path) for version in SUPPORTED if (path := NEWER / f"python{version}").exists())])


def newest() -> "tuple[str, Path]":
    """The newest that the machine has itself: for what is not about an interpreter's version."""
    return list(_working(_own()).items())[-1]


def _own() -> "list[str]":
    candidates = [path for version in SUPPORTED if (path := shutil.which(f"python{version}"))]
    candidates += [path for name in ("python3", "python") if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return candidates + [str(path) for path in sorted(pyenv.glob("3.*/bin/python"))]


def _working(candidates: "Iterable[str]") -> "dict[str, Path]":
    found: dict[str, Path] = {}
    for candidate in candidates:
        answer = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, check=False)
        parts = answer.stdout.split(maxsplit=2)
        if answer.returncode == 0 and len(parts) == 3 and parts[1] == "cpython" and parts[0] in SUPPORTED:
            found.setdefault(parts[0], Path(parts[2].strip()))
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))
