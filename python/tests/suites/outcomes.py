"""How the tests of a suite ended, and in what two runs differ."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

#: What a test counts as that a run does not have.
MISSING = "not run"


class Outcomes:
    """How each test of one run ended."""

    def __init__(self, ended: "Mapping[str, str]", texts: "Mapping[str, str]") -> None:
        #: By test: passed, failed, skipped and the like; of several parts of a test all that are said.
        self.ended = dict(ended)
        #: By test: what a failure says.
        self.texts = dict(texts)

    @classmethod
    def read(cls, path: Path) -> "Outcomes":
        """Reads what the hooks wrote down."""
        said: dict[str, list[str]] = {}
        texts: dict[str, str] = {}
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for line in lines:
            entry = json.loads(line)
            said.setdefault(entry["test"], []).append(entry["outcome"])
            if entry["text"]:
                texts[entry["test"]] = entry["text"]
        return cls({test: " and ".join(sorted(set(outcomes))) for test, outcomes in said.items()}, texts)

    def differing(self, other: "Outcomes") -> "list[str]":
        """The tests that ended otherwise than in another run, or are not in one of both."""
        tests = sorted(self.ended.keys() | other.ended.keys())
        return [test for test in tests if self.of(test) != other.of(test)]

    def of(self, test: str) -> str:
        """How a test ended."""
        return self.ended.get(test, MISSING)

    def counted(self, tests: "Iterable[str] | None" = None) -> str:
        """How many ended how, as text."""
        counts = Counter(self.of(test) for test in (self.ended if tests is None else tests))
        return ", ".join(f"{count:,} {outcome}" for outcome, count in counts.most_common()) or "no tests"
