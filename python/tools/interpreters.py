"""Which CPython interpreters this machine has."""

import os
import shutil
import subprocess
from pathlib import Path

#: The versions the agent supports.
SUPPORTED = tuple(f"3.{minor}" for minor in range(9, 14))
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.implementation.name, sys.executable)"


def find() -> "dict[str, Path]":
    """The first working interpreter of each supported version, on PATH or in pyenv's folder."""
    candidates = [path for version in SUPPORTED if (path := shutil.which(f"python{version}"))]
    candidates += [path for name in ("python3", "python") if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path) for path in sorted(pyenv.glob("3.*/bin/python"))]
    found: dict[str, Path] = {}
    for candidate in candidates:
        answer = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, check=False)
        parts = answer.stdout.split(maxsplit=2)
        if answer.returncode == 0 and len(parts) == 3 and parts[1] == "cpython" and parts[0] in SUPPORTED:
            found.setdefault(parts[0], Path(parts[2].strip()))
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))
