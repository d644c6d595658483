"""The tests of ``profiler_allocations.py``, in a process of their own: they count every allocation of the process, and
what tests of other things have left behind allocates as well."""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("profiler_allocations.py")


def test_allocations(pytestconfig: pytest.Config) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(pytestconfig.inipath)]
    done = subprocess.run([*command, str(CASES)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
