"""Our own ``oneagent`` beside the package from PyPI: one script, and the same answers and traces."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sink import tree

ANSWERS = Path(__file__).parent / "applications" / "oneagent_answers.py"

#: Where ours answers otherwise, and why.
DIFFERENCES = {
    "names of oneagent.version": "There is no library to be found, and so none of a wrong version.",
    "before: everything": "Before the SDK is initialized a link is empty bytes, as documented, and not None.",
    "failed after its end": "A tracer that has ended takes calls that mean nothing; ctypes refuses its handle.",
    "failed by nothing": "Where no exception is being handled, none is noted, and nothing breaks.",
    "fewer than there are": "A count says how many pairs are taken, and may be less than there are.",
    "no text": "What is no text is a TypeError, not ctypes.ArgumentError, which comes of it.",
}


def answers(run, sink, **environ):
    """What the script prints, and the trees of what it traced."""
    before = len(sink.spans)
    done = run("", str(ANSWERS), command=(sys.executable,), **environ)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    spans = sink.spans[before:]
    described = [
        (span.name, span.kind, span.status, span.resource["service.name"], span.attributes, span.events)
        for span in spans
    ]
    # A class is shown with the module that it comes from.
    return (
        json.loads(done.stdout.replace("pitviper.compat.oneagent", "oneagent")),
        tree(spans),
        sorted(described, key=repr),
    )


def test_it_answers_the_same(run, sink):
    theirs, their_trees, their_spans = answers(run, sink)
    ours, our_trees, our_spans = answers(run, sink, PITVIPER_COMPAT="oneagent")
    assert set(theirs) == set(ours)
    found = {name: {"oneagent": theirs[name], "pitviper": ours[name]} for name in theirs if theirs[name] != ours[name]}
    assert set(found) == set(DIFFERENCES), json.dumps(found, indent=1)
    assert our_trees == their_trees
    assert our_spans == their_spans
    assert len(our_spans) > 10


@pytest.mark.parametrize("chosen", [False, True])
def test_who_serves_it(run, sink, chosen):
    """The package where it is installed, unless ours is asked for."""
    source = "import oneagent.sdk.tracers, oneagent; print(oneagent.__file__)"
    done = run(source, **({"PITVIPER_COMPAT": "oneagent"} if chosen else {}))
    assert (done.returncode, done.stderr) == (0, "")
    assert ("pitviper/compat/oneagent" in done.stdout) is chosen


def test_it_is_there_where_the_package_is_not(run, sink):
    source = """
import importlib.machinery, sys

class WithoutIt(importlib.machinery.PathFinder):
    # As where the package is not installed.

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "oneagent" else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutIt
import oneagent
from oneagent.sdk import SDK
assert oneagent.initialize()
with oneagent.get_sdk().trace_custom_service("a", "A"):
    pass
print(oneagent.__name__, SDK is oneagent.SDK)
"""
    done = run(source)
    assert (done.stdout, done.returncode) == ("pitviper.compat.oneagent True\n", 0), done.stderr
    assert [span.resource["service.name"] for span in sink.spans] == ["A"]


def test_the_command_takes_its_name(sink):
    command = [sys.executable, "-m", "pitviper", "run", "--compat", "nonsense", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--compat takes ddtrace or oneagent" in done.stderr
