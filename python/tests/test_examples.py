"""The example application, where it has code of its own."""

import importlib
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

# Flaskr is no package one could install; this much of it is what the example builds on.
FLASKR = """
import flask

def create_app(settings):
    app = flask.Flask("flaskr")
    blueprint = flask.Blueprint("blog", "flaskr")

    @app.before_request
    def load_user():
        name = flask.request.headers.get("user")
        flask.g.user = {"username": name} if name else None

    @blueprint.post("/create")
    def create():
        return flask.redirect("/" if flask.g.user else "/auth/login")

    app.register_blueprint(blueprint)
    return app
"""


@pytest.fixture
def blog(tmp_path, monkeypatch):
    (tmp_path / "flaskr").mkdir()
    (tmp_path / "flaskr" / "__init__.py").write_text(FLASKR)
    (tmp_path / "flaskr" / "db.py").write_text("def get_db(): ...\ndef init_db(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLES / "flaskr"))
    monkeypatch.setenv("FLASKR_DATABASE", str(tmp_path / "flaskr.sqlite"))
    yield importlib.import_module("blog_app")
    for name in ("blog_app", "flaskr", "flaskr.db"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("headers", "informed"), [({}, []), ({"user": "ann"}, ["first"])])
def test_only_posts_that_were_made_are_told_of(agent, blog, monkeypatch, headers, informed):
    told = []
    monkeypatch.setattr(blog, "inform_editors", told.append)
    answer = blog.app.test_client().post("/create", data={"title": "first"}, headers=headers)
    assert (answer.status_code, told) == (302, informed)
