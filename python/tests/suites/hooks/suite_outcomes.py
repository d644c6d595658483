"""Writes down how each test ended: one JSON text a line. For pytest (``-p suite_outcomes``) and unittest."""

import json
import os
import runpy
import sys
import unittest

_PATH = os.environ["PITVIPER_SUITE_OUTCOMES"]
#: Whose tests these are: a process that a test starts has no outcomes of its own to tell.
_OWNER = os.getpid()
_LONGEST = 20_000


def _write(test, outcome, text=""):
    if os.getpid() != _OWNER:
        return
    line = json.dumps({"test": test, "outcome": outcome, "text": text[-_LONGEST:]}) + "\n"
    file = os.open(_PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode("utf-8", "replace"))
    finally:
        os.close(file)


def pytest_runtest_logreport(report):
    """pytest says how a part of a test went."""
    if report.when == "call" or report.outcome != "passed":
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "expected failure" if report.skipped else "unexpected success"
        elif report.when != "call" and report.failed:
            outcome = f"{report.when} failed"
        _write(report.nodeid, outcome, str(report.longrepr or "") if report.failed else "")


def pytest_collectreport(report):
    """pytest could not read a file."""
    if report.failed:
        _write(report.nodeid, "not collected", str(report.longrepr))


class _Result(unittest.TextTestResult):
    """A result that is written down as it comes."""

    def addSuccess(self, test):
        super().addSuccess(test)
        _write(test.id(), "passed")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        _write(test.id(), "failed", self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        _write(test.id(), "failed", self.errors[-1][1])

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        _write(test.id(), "skipped")

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        _write(test.id(), "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        _write(test.id(), "unexpected success")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            _write(test.id(), "failed", (self.errors + self.failures)[-1][1])


def main():
    """Runs a script that runs tests with unittest: ``suite_outcomes.py SCRIPT ARGUMENT...``"""
    unittest.TextTestRunner.resultclass = _Result
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
