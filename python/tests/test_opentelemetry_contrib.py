"""OpenTelemetry's own instrumentations make the same spans on our provider as on its SDK."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = Path(__file__).with_name("contrib_programs.py")

#: How many spans each program is worth, so that two empty lists are no success.
SPANS = {"flask": 6, "django": 3, "requests": 5, "sqlalchemy": 6, "redis": 8, "celery": 15}


def spans(provider: str, library: str, folder: Path, **environ: str) -> "list[Any]":
    """What a program's spans look like on a provider."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS), provider, library],
        capture_output=True,
        text=True,
        cwd=folder,
        # Nothing listens there: the agent's own export is not what is compared.
        env={**os.environ, "PITVIPER_ENDPOINT": "http://127.0.0.1:9", **environ},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("library", sorted(SPANS))
def test_spans_are_those_of_the_sdk(library: str, tmp_path: Path, redis_port: int) -> None:
    url = f"redis://127.0.0.1:{redis_port}/0"
    stock, ours = (spans(provider, library, tmp_path, TEST_REDIS_URL=url) for provider in ("stock", "ours"))
    assert len(stock) == SPANS[library]
    assert ours == stock
