"""Runs pytest, and what failed once more by itself: ``steady.py [PYTEST ARGUMENT ...]``.

Tests here start databases, brokers, browsers and servers on a machine with two processors. One that
fails and then passes alone is unsteady: a defect to mend, but of the test or of the machine's load far
more often than of what is tested, and no reason to throw the whole run away. It is named in capitals at
the end of the run, and a run with more than a few of them fails.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

#: Tests that may need their second run; more than that is no accident.
MAX_UNSTEADY = 3
#: pytest's exit status when tests were run and some failed.
_SOME_FAILED = 1


def run(arguments: "list[str]") -> int:
    """The exit status of pytest, or of the second run where that one counts."""
    with tempfile.TemporaryDirectory(prefix="pitviper-steady-") as cache:
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
        status = subprocess.run(command, check=False).returncode
        record = Path(cache, "v", "cache", "lastfailed")
        failed = sorted(json.loads(record.read_text())) if record.exists() else []
        if status != _SOME_FAILED or not 0 < len(failed) <= MAX_UNSTEADY:
            return status
        print(f"\n{len(failed)} failed and is run once more by itself", flush=True)
        status = subprocess.run([*command, "--last-failed", "--last-failed-no-failures=none"], check=False).returncode
        if status == 0:
            print("\nUNSTEADY, failed once and then passed; mend the test or what it tests:")
            print("\n".join(f"  {test}" for test in failed), flush=True)
        return status


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
