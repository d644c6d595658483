"""How integrations get into libraries, and out of them again."""

import inspect
import os
import sqlite3
import subprocess
import sys

import flask
import gunicorn.workers.base
import jinja2
import pytest
import requests
import urllib3

from pitviper.instrument import Integration, Patch, engine
from pitviper.integrations.wsgi.patches import traced

NAMES = ("__name__", "__qualname__", "__doc__", "__module__")


@pytest.mark.parametrize(
    "find",
    [
        lambda: flask.Flask.__call__,
        lambda: flask.Flask.full_dispatch_request,
        lambda: flask.Flask.dispatch_request,
        lambda: flask.Flask.handle_exception,
        lambda: gunicorn.workers.base.Worker.load_wsgi,
        lambda: jinja2.Template.render,
        lambda: jinja2.Template.generate,
        lambda: jinja2.Template.render_async,
        lambda: jinja2.Template.generate_async,
        lambda: jinja2.Environment.compile,
        lambda: requests.Session.send,
        lambda: urllib3.HTTPConnectionPool._make_request,
        lambda: sqlite3.connect,
    ],
)
def test_a_wrapped_function_looks_like_the_one_it_wraps(agent, find):
    wrapped = find()
    original = wrapped.__wrapped__
    assert original not in [replacement for *_, replacement in engine._applied]
    assert {name: getattr(wrapped, name) for name in NAMES} == {name: getattr(original, name) for name in NAMES}
    assert _signature(wrapped) == _signature(original)


def _signature(function):
    try:
        return inspect.signature(function)
    except ValueError:
        return None  # Written in C, by a Python that does not tell.


@pytest.mark.parametrize("method", ["execute", "executemany", "executescript", "commit", "rollback", "cursor"])
def test_methods_of_connections_look_like_sqlites(agent, method):
    connection = sqlite3.connect(":memory:")
    for traced_class, original in ((type(connection), sqlite3.Connection), (type(connection.cursor()), sqlite3.Cursor)):
        own, its = getattr(traced_class, method, None), getattr(original, method, None)
        if its is not None:
            assert (own.__name__, own.__qualname__, own.__doc__) == (its.__name__, its.__qualname__, its.__doc__)
            assert _signature(own) == _signature(its)


def test_a_wrapped_application_keeps_its_name():
    def application(environ, start_response):
        """Sells."""
        return []

    class Application:
        colour = "red"

        def __init__(self):
            self.__wrapped__ = "own"

        def __call__(self, environ, start_response):
            return []

    assert (traced(application).__name__, traced(application).__doc__) == ("application", "Sells.")
    instance = Application()
    assert traced(instance).__wrapped__ is instance


HALF = """
class Template:
    def render(self): return "rendered"
class Environment:
    pass
"""


@pytest.fixture
def half_a_library(tmp_path):
    """A library of which some is where the integration looks for it."""
    (tmp_path / "jinja2").mkdir()
    (tmp_path / "jinja2" / "__init__.py").touch()
    (tmp_path / "jinja2" / "environment.py").write_text(HALF)
    return str(tmp_path)


def test_half_an_integration_is_none(run, half_a_library):
    source = """
import jinja2.environment
from pitviper.instrument import Integration, Patch, engine
print(jinja2.environment.Template().render(), hasattr(jinja2.environment.Template.render, "__wrapped__"))
print(engine.states()["jinja2"])
"""
    done = run(source, PITVIPER_TESTING_RAISE="")
    failure = "AttributeError: jinja2.environment has no "
    first, second = done.stdout.splitlines()
    assert first == "rendered False"
    assert second.startswith(f"failed: {failure}")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"pitviper: jinja2 is not traced: {failure}")


TWO_MODULES = """
import pitviper
from pitviper.instrument import Integration, Patch, engine
from pitviper.integrations import _index, jinja2
engine.uninstall()
jinja2.INTEGRATION = Integration("jinja2", (Patch("one:Derived.f", "render"), Patch(LATER, "render")))
_index.MODULES = {"jinja2": ("one", "two")}
engine.install()
def patched(): return "f" in vars(one.Derived), hasattr(one.Derived.f, "__wrapped__")
import one
print(*patched())
import two
print(*patched(), engine.states()["jinja2"].partition(":")[0])
engine.uninstall()
print(*patched(), two.f is one.plain)
"""


@pytest.mark.parametrize(
    ("later", "output"),
    [
        # What two imported of one by name is its own, and keeps working.
        ("two:absent", ["True True", "False False failed", "False False False"]),
        ("two:f", ["True True", "True True in place", "False False True"]),
    ],
)
def test_an_integration_of_two_modules_is_taken_back_in_both(run, tmp_path, later, output):
    (tmp_path / "one.py").write_text("class Base:\n    def f(self): pass\nclass Derived(Base): pass\nplain = Base.f\n")
    (tmp_path / "two.py").write_text("import one\nf = one.Derived.f\n")
    done = run(TWO_MODULES.replace("LATER", repr(later)), PITVIPER_TESTING_RAISE="")
    assert done.stdout.splitlines() == output, done.stderr


def _info(sink, **environ):
    done = subprocess.run(
        [sys.executable, "-m", "pitviper", "run", "--info"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, **environ},
    )
    assert done.stderr == ""
    listed = done.stdout.partition("Integrations\n")[2].splitlines()
    return done.returncode, dict(line.split(maxsplit=1) for line in listed)


def test_info_shows_what_would_fail(sink, half_a_library):
    status, states = _info(sink, PYTHONPATH=half_a_library)
    assert status == 1
    assert states["jinja2"].startswith("failed: AttributeError: jinja2.environment has no ")
    assert states["urllib3"].startswith("on: urllib3 ")


def test_a_module_may_be_missing_if_its_patches_are_optional():
    optional = Patch("http.absent:function", "absent", optional=True)
    assert engine.trial(Integration("sqlite3", patches=(Patch("sqlite3:connect", "connect"), optional))) is None
    needed = Patch("http.absent:function", "connect")
    assert "No module named" in str(engine.trial(Integration("sqlite3", patches=(needed,))))


def test_info_shows_versions_that_are_too_old(sink, tmp_path):
    (tmp_path / "requests-1.2.3.dist-info").mkdir()
    (tmp_path / "requests-1.2.3.dist-info" / "METADATA").write_text("Name: requests\nVersion: 1.2.3\n")
    status, states = _info(sink, PYTHONPATH=str(tmp_path))
    assert (status, states["requests"]) == (0, "off: requests 1.2.3 is older than 2.0")


def test_info_shows_what_is_switched_off(sink):
    _, states = _info(sink, OTEL_SDK_DISABLED="true")
    assert set(states.values()) == {"off: the agent is off by OTEL_SDK_DISABLED"}
    _, states = _info(sink, PITVIPER_INTEGRATIONS_DISABLED="flask")
    assert states["flask"] == "off: disabled by PITVIPER_INTEGRATIONS_DISABLED"
    assert states["sqlite3"] == "on: standard library"
