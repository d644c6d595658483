"""The tests of ``profiler_allocation*.py``, in processes of their own: they count every allocation of the process, and
what tests of other things have left behind allocates as well."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = sorted(Path(__file__).parent.glob("profiler_allocation*.py"))


@pytest.mark.parametrize("cases", CASES, ids=lambda cases: cases.stem)
def test_allocations(cases: Path, pytestconfig: pytest.Config) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(pytestconfig.inipath)]
    done = subprocess.run([*command, str(cases)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
