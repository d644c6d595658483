"""How integrations get into libraries, and out of them again."""

import inspect
import sqlite3

import flask
import gunicorn.workers.base
import jinja2
import pytest
import requests
import urllib3

from pitviper.instrument import engine
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
        lambda: jinja2.Environment.compile,
        lambda: requests.Session.send,
        lambda: urllib3.HTTPConnectionPool.urlopen,
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
