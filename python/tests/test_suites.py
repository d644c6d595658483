"""The tools that run libraries' own suites: faults get where they should, and differences are seen."""

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

SUITES = Path(__file__).with_name("suites")


def _load(path: str) -> Any:
    """A module that is on no path of ours."""
    name = f"suites_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, SUITES / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _load("hooks/suite_faults.py")
outcomes = _load("outcomes.py")


def _rewritten(
    source: str, probability: float = 1.0, **names: Any
) -> "tuple[dict[str, Any], list[BaseException], Any]":
    """Runs a module with faults; returns its names, the errors it swallowed, and what makes the faults."""
    swallowed: list[BaseException] = []
    made = faults.Faults(1, probability)
    module = {"internal_error": swallowed.append, **faults.names(made), **names}
    exec(faults.rewrite(source, "module.py"), module)
    return module, swallowed, made


GUARDED = """
def helper():
    done.append("helper")

def wrapper():
    try:
        helper()
    except Exception as error:
        internal_error(error)
    done.append("original")
    return helper()
"""


def test_guarded_code_fails_and_the_rest_does_not() -> None:
    done: list[str] = []
    module, swallowed, made = _rewritten(GUARDED, done=done)
    module["wrapper"]()
    assert done == ["original", "helper"], "the block failed; what is outside of it ran, the same helper too"
    assert [error.pitviper_injected for error in swallowed] == [True]
    assert made.raised == 1


def test_what_a_guarded_block_calls_fails_inside() -> None:
    inside = 0
    for seed in range(200):
        done: list[str] = []
        swallowed: list[BaseException] = []
        module = {"internal_error": swallowed.append, "done": done, **faults.names(faults.Faults(seed, 0.4))}
        exec(faults.rewrite(GUARDED, "module.py"), module)
        module["wrapper"]()
        assert done[-2:] == ["original", "helper"]
        names = [entry.name for error in swallowed for entry in _frames(error)]
        inside += "helper" in names
    assert inside > 10


def _frames(error: BaseException) -> "list[Any]":
    found, traceback = [], error.__traceback__
    while traceback is not None:
        found.append(type("Frame", (), {"name": traceback.tb_frame.f_code.co_name}))
        traceback = traceback.tb_next
    return found


def test_native_calls_fail_without_a_guard() -> None:
    class Native:
        start_span = staticmethod(lambda: "started")
        now = staticmethod(lambda: 1)

    source = "def start():\n    return _native.start_span()\ndef time():\n    return _native.now()\n"
    module, _, _ = _rewritten(source, _native=Native)
    with pytest.raises(Exception, match="injected by the suites"):
        module["start"]()
    assert module["time"]() == 1, "what never raises does not"


def test_a_guarded_block_that_lets_the_application_run_is_refused() -> None:
    source = """
async def wrapper():
    try:
        await original()
    except Exception as error:
        internal_error(error)
"""
    with pytest.raises(SyntaxError, match="lets the application run"):
        _rewritten(source)


def test_the_same_seed_makes_the_same_faults() -> None:
    def pattern(seed: int) -> "list[bool]":
        made = faults.Faults(seed, 0.5)
        made.enter()
        failed = []
        for _ in range(50):
            failed.append(False)
            with contextlib.suppress(Exception):
                made.fault()
                continue
            failed[-1] = True
        return failed

    assert pattern(3) == pattern(3) != pattern(4)


def test_every_integration_can_be_rewritten() -> None:
    import pitviper

    folder = Path(pitviper.__file__).parent / "integrations"
    files = sorted(folder.rglob("*.py"))
    assert len(files) > 100
    for file in files:
        faults.rewrite(file.read_text(encoding="utf-8"), str(file))


def test_differences_are_seen(tmp_path: Path) -> None:
    def written(name: str, *entries: "tuple[str, str]") -> Any:
        path = tmp_path / name
        lines = [json.dumps({"test": test, "outcome": outcome, "text": ""}) for test, outcome in entries]
        path.write_text("\n".join(lines))
        return outcomes.Outcomes.read(path)

    plain = written("plain", ("a", "passed"), ("b", "skipped"), ("c", "passed"), ("d", "failed"))
    assert written("same", ("d", "failed"), ("c", "passed"), ("b", "skipped"), ("a", "passed")).differing(plain) == []
    traced = written(
        "traced", ("a", "passed"), ("a", "teardown failed"), ("b", "passed"), ("d", "failed"), ("e", "passed")
    )
    assert traced.differing(plain) == ["a", "b", "c", "e"]
    assert [traced.of(test) for test in "abce"] == ["passed and teardown failed", "passed", "not run", "passed"]
    assert plain.counted() == "2 passed, 1 skipped, 1 failed"
