"""Runs the published suites of libraries without the agent, with it, profiled, and with it failing at random::

    run.py [--whole] [--seeds N] [--python PATH] [--library NAME] [VERSION ...]

Each suite comes from the source distribution of the pinned version. A test that ends otherwise with the
agent than without is a defect of the agent's: it is listed, and the exit status is 1.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "python" / "tools"))
import matrix  # noqa: E402
from interpreters import find  # noqa: E402
from libraries import LIBRARIES, Library  # noqa: E402
from outcomes import Outcomes  # noqa: E402
from receiver import Receiver  # noqa: E402

HOOKS = HERE / "hooks"
SDISTS = matrix.CACHE / "sdists"
#: The version that `make test` has time for.
VERSION = "3.12"
#: How often a statement of ours fails, by seed.
PROBABILITIES = (0.02, 0.2, 0.002)
#: How often what an exporter sends is refused meanwhile.
REFUSALS = 0.2
#: A test that differs is run again this often, alone: a busy machine makes some fail that time things.
REPEATS = 3
#: So often when faults are random.
REPEATS_WITH_FAULTS = 8
#: The longest a suite may take, in seconds.
SELECTION_TIMEOUT, WHOLE_TIMEOUT = 900, 7_200
#: How many modes run at the same time.
_AT_ONCE = 3
#: Exit statuses of a run whose tests all ran: some of them may have failed.
RAN = (0, 1)


class Mode:
    """How a suite is run: without the agent, with it, with its profiler, or with faults in it."""

    def __init__(self, seed: "int | None" = None, agent: bool = True, profiled: bool = False) -> None:
        self.agent = agent
        self.seed = seed
        self.profiled = profiled
        if not agent:
            self.name = "without the agent"
        elif profiled:
            self.name = "profiled"
        elif seed is None:
            self.name = "with the agent"
        else:
            self.name = f"with faults, seed {seed}"

    def reseeded(self, number: int) -> "Mode":
        """The same mode with other faults."""
        return self if self.seed is None else Mode(self.seed + 1_000 * number)

    def probability(self) -> float:
        """How often a statement fails."""
        return PROBABILITIES[(self.seed or 0) % len(PROBABILITIES)]


class Run:
    """What became of one run of a suite."""

    def __init__(self, outcomes: Outcomes, output: str, status: "int | None", seconds: float) -> None:
        self.outcomes = outcomes
        self.output = output
        self.status = status
        self.seconds = seconds
        #: Requests with spans that the receiver took, and with profiles.
        self.exports = self.profiles = 0
        self.injected = 0
        #: Errors that the agent swallowed and nobody had injected.
        self.errors: list[str] = []

    def is_whole(self) -> bool:
        """Whether it came to its end."""
        return self.status in RAN and bool(self.outcomes.ended)


def sdist(python: Path, name: str, version: str) -> Path:
    """The folder of a source distribution, downloaded if it is not here."""
    folder = SDISTS / f"{name}-{version}"
    if not folder.exists():
        SDISTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SDISTS) as scratch:
            command = [python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*command, "--no-binary", name, "-d", scratch, f"{name}=={version}"], check=True)
            (archive,) = Path(scratch).glob("*.tar.gz")
            shutil.unpack_archive(archive, scratch)
            (unpacked,) = (path for path in Path(scratch).iterdir() if path.is_dir())
            unpacked.rename(folder)
    return folder


def run(python: Path, library: Library, source: Path, mode: Mode, arguments: "list[str]", timeout: float) -> Run:
    """Runs a suite, or some tests of it, in one mode."""
    receiver = Receiver(0.0 if mode.seed is None else REFUSALS, mode.seed or 0)
    with tempfile.TemporaryDirectory() as scratch:
        outcomes, errors, output = (Path(scratch) / name for name in ("outcomes", "errors", "output"))
        variables = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        variables.pop("PITVIPER_TESTING_RAISE", None)
        variables.update(
            PATH=f"{python.parent}{os.pathsep}{variables['PATH']}",
            PYTHONPATH=str(HOOKS),
            PYTHONDONTWRITEBYTECODE="1",
            PITVIPER_SUITE_OUTCOMES=str(outcomes),
            **library.variables,
        )
        command = [str(python), *arguments]
        if mode.agent:
            variables.update(PITVIPER_ENDPOINT=receiver.endpoint, PITVIPER_SERVICE=library.name)
            variables.update(PITVIPER_SUITE_ERRORS=str(errors))
            variables.update(PITVIPER_LINKING="true", **EVERYTHING)
            if mode.profiled:
                variables.update(PROFILED)
            if mode.seed is not None:
                variables["PITVIPER_SUITE_FAULTS"] = f"{mode.seed}:{mode.probability()}"
            # The hooks go before the agent: it is to be watched from its first import on.
            first = ["sh", "-c", f'PYTHONPATH="{HOOKS}:$PYTHONPATH" exec "$@"', "sh"]
            command = [str(python), "-m", "pitviper", "run", *first, *command]
        began = time.monotonic()
        status: int | None = None
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=source, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        receiver.close()
        done = Run(Outcomes.read(outcomes), output.read_text(errors="replace"), status, time.monotonic() - began)
        done.exports, done.profiles = receiver.taken, receiver.profiles
        for line in errors.read_text().splitlines() if errors.exists() else ():
            entry = json.loads(line)
            done.injected += entry["injected"]
            if not entry["injected"]:
                done.errors.append(entry["error"])
        return done


#: All that the agent can do for these libraries, also what it does only when asked.
EVERYTHING = {
    "PITVIPER_DJANGO_MIDDLEWARE": "true",
    "PITVIPER_DJANGO_TEMPLATES": "true",
    "PITVIPER_DJANGO_CACHE": "true",
}

#: All that the profiler can do, and more often than it would by itself.
PROFILED = {
    "PITVIPER_PROFILING_ENABLED": "true",
    "PITVIPER_PROFILING_RATE": "250",
    "PITVIPER_PROFILING_CPU_BUDGET": "0.5",
    "PITVIPER_PROFILING_LOCKS": "exact",
    "PITVIPER_PROFILING_LOOPS": "10",
    "PITVIPER_PROFILING_EXCEPTIONS": "true",
    "PITVIPER_PROFILING_HEAP": "true",
    "PITVIPER_PROFILING_HEAP_SAMPLE_BYTES": "16384",
    "PITVIPER_PROFILING_HEAP_RATE": "0",
    "PITVIPER_PROFILING_UPLOAD_PERIOD": "10",
}


class Suite:
    """The suite of one library on one CPython."""

    def __init__(self, library: Library, python: Path, version: str, whole: bool) -> None:
        self._library = library
        self._python = python
        ask = f"import importlib.metadata; print(importlib.metadata.version('{library.name}'))"
        pinned = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        self._source = sdist(python, library.name, pinned)
        self._arguments = library.command(HOOKS, selection=not whole)
        self._timeout = WHOLE_TIMEOUT if whole else SELECTION_TIMEOUT
        self.title = f"{library.name} {pinned} on CPython {version}"
        #: Tests that ended the same, and that did not.
        self.same = self.different = 0

    def compare(self, seeds: int) -> None:
        """Runs it in all modes and says what differs."""
        modes = [Mode(), Mode(profiled=True), *(Mode(seed) for seed in range(seeds))]
        # Suites wait as much as they work: several run at once.
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            plain, *others = pool.map(self._run, [Mode(agent=False), *modes])
        if plain is None:
            return
        for mode, traced in zip(modes, others):
            if traced is None:
                continue
            suspects = traced.outcomes.differing(plain.outcomes)
            defects = self._defects(mode, plain, traced, suspects)
            self.same += len(plain.outcomes.ended) - len(defects)
            self.different += len(defects)
            for test, text in defects.items():
                print(f"   DIFFERS {mode.name}: {test}\n{_indented(text)}", flush=True)
            self._complain(mode, traced)

    def _run(self, mode: Mode) -> "Run | None":
        done = run(self._python, self._library, self._source, mode, self._arguments, self._timeout)
        extra = ""
        if mode.agent:
            extra = f"; {done.exports:,} requests with spans"
        if mode.profiled:
            extra += f", {done.profiles:,} with profiles"
        if mode.seed is not None:
            extra += f"; {done.injected:,} faults at {mode.probability()} a statement"
        print(f"{self.title}, {mode.name}: {done.outcomes.counted()}; {done.seconds:.0f} s{extra}", flush=True)
        if not done.is_whole():
            self.different += 1
            print(f"   DID NOT FINISH, exit status {done.status}:\n{_indented(done.output[-4_000:])}", flush=True)
            return None
        return done

    def _defects(self, mode: Mode, plain: Run, traced: Run, suspects: "list[str]") -> "dict[str, str]":
        """Of the tests that differ, those that do so again when run alone."""
        defects = {test: traced.outcomes.texts.get(test, "") for test in suspects if self._is_ours(traced, test)}
        rest = [test for test in suspects if test not in defects]
        if not rest:
            return defects
        arguments = self._library.again(HOOKS, rest)
        alone = run(self._python, self._library, self._source, Mode(agent=False), arguments, self._timeout)
        for number in range(1, 1 + (REPEATS if mode.seed is None else REPEATS_WITH_FAULTS)):
            again = run(self._python, self._library, self._source, mode.reseeded(number), arguments, self._timeout)
            for test in rest:
                if again.outcomes.of(test) != alone.outcomes.of(test):
                    change = f"{alone.outcomes.of(test)} without the agent, {again.outcomes.of(test)} with it\n"
                    defects[test] = change + again.outcomes.texts.get(test, again.output[-2_000:])
        for test in rest:
            if test not in defects:
                was, now = plain.outcomes.of(test), traced.outcomes.of(test)
                print(f"   once {now} instead of {was}, and never again alone: {test}", flush=True)
        return defects

    @staticmethod
    def _is_ours(traced: Run, test: str) -> bool:
        return "injected by the suites" in traced.outcomes.texts.get(test, "")

    def _complain(self, mode: Mode, traced: Run) -> None:
        # With many faults there may be no span that is whole.
        if mode.seed is None and traced.exports == 0:
            self.different += 1
            print(f"   NOTHING WAS EXPORTED {mode.name}", flush=True)
        if mode.profiled and traced.profiles == 0:
            self.different += 1
            print("   NOTHING WAS PROFILED", flush=True)
        if mode.seed is None and traced.errors:
            self.different += 1
            print(f"   THE AGENT SWALLOWED {len(traced.errors)} errors:", flush=True)
            for text in sorted(set(traced.errors))[:5]:
                print(_indented(text), flush=True)
        if mode.seed is not None and traced.injected == 0:
            self.different += 1
            print(f"   NOTHING FAILED {mode.name}", flush=True)


def _indented(text: str) -> str:
    return "\n".join(f"      {line}" for line in text.rstrip().splitlines())


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="all of Django's tests, not a selection")
    parser.add_argument("--seeds", type=int, default=1, help="how many runs with faults")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--library", action="append", choices=[library.name for library in LIBRARIES])
    parser.add_argument("version", nargs="*", help=f"versions of CPython; without any {VERSION}, or all there are")
    given = parser.parse_args()
    interpreters = find()
    same = different = 0
    for version in given.version or ([*interpreters] if given.whole else [VERSION]):
        if given.python is None and version not in interpreters:
            print(f"suites: found CPython {', '.join(interpreters)}, wanted {version}", file=sys.stderr)
            return 1
        python = given.python or matrix.environment(version, interpreters[version], HERE / "requirements.txt")
        for library in LIBRARIES:
            if not given.library or library.name in given.library:
                suite = Suite(library, python, version, given.whole)
                suite.compare(given.seeds)
                same += suite.same
                different += suite.different
    print(f"\nsuites: {same} passed, {different} failed")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
