"""``make demo ARGS=--once``, as a newcomer runs it."""

import subprocess
import sys

from conftest import ROOT


def test_the_demo_runs_once() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "demo.py"), "--once", "--visits", "60", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flaskr" in done.stdout and "notification" in done.stdout
    assert "slowest POST /create: 11 spans" in done.stdout
