"""The libraries whose published suites are run, and how each is."""

import os
from pathlib import Path

#: Labels of Django's suite that touch what the agent wraps: the way of a request, templates, caches,
#: databases, signals, logging. The others test models, forms and the like, and only `make suites` has time.
DJANGO_SELECTION = (
    "asgi",
    "async",
    "backends",
    "cache",
    "conditional_processing",
    "context_processors",
    "csrf_tests",
    "decorators",
    "dispatch",
    "file_uploads",
    "handlers",
    "httpwrappers",
    "logging_tests",
    "messages_tests",
    "middleware",
    "middleware_exceptions",
    "raw_query",
    "requests_tests",
    "responses",
    "servers",
    "sessions_tests",
    "shortcuts",
    "signals",
    "staticfiles_tests",
    "template_backends",
    "template_tests",
    "test_client",
    "test_client_regress",
    "transaction_hooks",
    "transactions",
    "urlpatterns",
    "urlpatterns_reverse",
    "view_tests",
    "wsgi",
)


class Library:
    """A library with a published suite.

    Args:
        name: Its distribution.
        left_out: Tests that are not run, each with the reason.
        variables: What its suite needs in the environment.
    """

    def __init__(
        self, name: str, left_out: "dict[str, str] | None" = None, variables: "dict[str, str] | None" = None
    ) -> None:
        self.name = name
        self.left_out = left_out or {}
        self.variables = variables or {}

    def command(self, hooks: Path, selection: bool) -> "list[str]":
        """What follows the interpreter to run the suite in the folder of the source distribution."""
        left_out = [argument for test in self.left_out for argument in ("--deselect", test)]
        return [*_PYTEST, *left_out, "tests"]

    def again(self, hooks: Path, tests: "list[str]") -> "list[str]":
        """What follows the interpreter to run some tests alone."""
        return [*_PYTEST, *tests]


#: Outcomes are written down by the plugin; caches and reports are nobody's.
_PYTEST = ("-m", "pytest", "-p", "suite_outcomes", "-p", "no:cacheprovider", "-q", "--tb=short")


class Django(Library):
    """Django has a runner of its own, which uses all processors."""

    def command(self, hooks: Path, selection: bool) -> "list[str]":
        labels = DJANGO_SELECTION if selection else ()
        return [*self._runner(hooks), f"--parallel={os.cpu_count() or 1}", *labels]

    def again(self, hooks: Path, tests: "list[str]") -> "list[str]":
        # "setUpClass (module.Class)" is how unittest calls what a whole class needs.
        labels = sorted({test.partition("(")[2].rstrip(")") or test for test in tests})
        return [*self._runner(hooks), "--parallel=1", *labels]

    @staticmethod
    def _runner(hooks: Path) -> "list[str]":
        return [str(hooks / "suite_outcomes.py"), "tests/runtests.py", "--noinput", "--settings=test_sqlite"]


_INTERNET = "needs an address of the internet that does not answer"

LIBRARIES = (
    Library("flask"),
    Library(
        "requests",
        left_out={
            "tests/test_requests.py::TestTimeout::test_connect_timeout": _INTERNET,
            "tests/test_requests.py::TestTimeout::test_total_timeout_connect": _INTERNET,
            "tests/test_requests.py::TestRequests::test_errors[http://doesnotexist.google.com-ConnectionError]": _INTERNET,
            "tests/test_requests.py::TestRequests::test_response_iter_lines_reentrant": (
                "is expected to fail, and does so as long as the headers that the server echoes are short: with "
                "those that carry the trace it passes"
            ),
        },
    ),
    Django("django"),
)
