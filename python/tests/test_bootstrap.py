"""``pitviper run``, settings, and how the agent gets into a process."""

import os
import subprocess
import sys

import pytest

from pitviper import bootstrap, config
from pitviper.instrument import engine
from pitviper.integrations import _index
from pitviper.integrations._http import masked_query, masked_url


def cli(*arguments, **environ):
    return subprocess.run(
        [sys.executable, "-m", "pitviper", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
        timeout=60,
    )


def test_the_applications_own_sitecustomize_still_runs(run, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('own sitecustomize')")
    done = run("import sitecustomize; print(sitecustomize.__file__)", PYTHONPATH=str(tmp_path))
    # Once in the interpreter that is `pitviper run`, once in the program's.
    assert done.stdout.splitlines() == ["own sitecustomize"] * 2 + [str(tmp_path / "sitecustomize.py")]


def test_a_missing_command_says_so():
    done = cli("run", "no-such-command-anywhere")
    assert done.returncode == 127
    assert "no-such-command-anywhere" in done.stderr and "PATH" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("run",), ("walk",), ("run", "--fast", "x")])
def test_wrong_usage_shows_usage(arguments):
    done = cli(*arguments)
    assert done.returncode == 2
    assert "usage: pitviper run" in done.stdout + done.stderr


def test_the_exit_status_is_the_commands(run):
    assert run("import sys; sys.exit(7)").returncode == 7


def test_info_tells_where_values_come_from(sink):
    done = cli(
        "run",
        "--info",
        "gunicorn",
        "shop.wsgi:app",
        PITVIPER_ENDPOINT=sink.endpoint,
        OTEL_SERVICE_NAME="",
        DD_ENV="staging",
        PITVIPER_TOKEN="hush",
        PITVIPER_SAMPLE_RATE="2",
    )
    assert done.returncode == 1
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "service shop guessed from the command" in lines
    assert "env staging DD_ENV" in lines
    assert "token *** PITVIPER_TOKEN" in lines and "hush" not in done.stdout
    complaint = "! PITVIPER_SAMPLE_RATE='2' is ignored: use a number from 0 to 1; the default applies: 1.0"
    assert lines[lines.index(complaint) - 1] == "sample_rate 1.0 default"
    assert f"{sink.endpoint}/v1/traces: answers (200)" in lines
    assert any(line.startswith("flask on: flask 3.") for line in lines)


BAD_SETTINGS = [
    ("PITVIPER_COMPRESSION", "brotli", "use auto, none, gzip or zstd; the default applies: auto"),
    (
        "OTEL_TRACES_SAMPLER",
        "jaeger_remote",
        "use always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or "
        "parentbased_traceidratio; the default applies: parentbased_always_on",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "half", "use a number from 0 to 1; the default applies: 1.0"),
    ("PITVIPER_ENABLED", "perhaps", "use true or false; the default applies: True"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "1e3", "use a whole number from 0 to 4294967295; the default applies: 16384"),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "99999999999", "use a whole number from 0 to 4294967295; the default applies: 128"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318", "use a URL such as http://host:4318; the default applies"),
    ("PITVIPER_SERVICE", "caf\udce9", "use UTF-8 text; the default applies"),
]


@pytest.mark.parametrize(("variable", "value", "advice"), BAD_SETTINGS)
@pytest.mark.parametrize("how", ["auto", "run"])
def test_a_setting_nobody_can_follow_is_named_and_does_not_count(sink, how, variable, value, advice):
    source = "import pitviper.auto\n" if how == "auto" else "import pitviper\n"
    source += "with pitviper.tracer.start_as_current_span('work'): pass\npitviper.init()"
    command = [sys.executable, "-c", source]
    environ = {key: text for key, text in os.environ.items() if key != "PITVIPER_TESTING_RAISE"}
    done = subprocess.run(
        command if how == "auto" else [sys.executable, "-m", "pitviper", "run", *command],
        capture_output=True,
        text=True,
        check=True,
        env={**environ, "PITVIPER_ENDPOINT": sink.endpoint, variable: value},
    )
    assert done.stderr == f"pitviper: {variable}={value!r} is ignored: {advice}\n"
    assert [span.name for span in sink.wait_for(1)] == ["work"]


def test_a_bad_value_of_a_secret_is_not_shown():
    loaded = config.load({"PITVIPER_TOKEN": "hush\udce9"})
    assert loaded.problems == ["PITVIPER_TOKEN=*** is ignored: use UTF-8 text; the default applies"]


def test_a_failing_start_stops_nothing_and_says_so(tmp_path):
    (tmp_path / "pitviper.py").write_text("raise RuntimeError('broken install')")
    environ = {key: text for key, text in os.environ.items() if key != "PITVIPER_TESTING_RAISE"}
    path = os.pathsep.join([os.path.join(os.path.dirname(bootstrap.__file__), "site"), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", "print('application')"],
        capture_output=True,
        text=True,
        check=True,
        env={**environ, "PYTHONPATH": path},
    )
    assert done.stdout == "application\n"
    assert done.stderr == "pitviper: not tracing: RuntimeError: broken install\n"


def test_info_says_when_the_server_is_away():
    done = cli("run", "--info", PITVIPER_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 1
    assert "does not answer" in done.stdout and "start pitviper-server" in done.stdout


def test_libraries_imported_before_are_instrumented_too(run, sink):
    source = "import sqlite3, flask\nimport pitviper.auto\nsqlite3.connect(':memory:').execute('SELECT 1')\n"
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PITVIPER_ENDPOINT": sink.endpoint},
    )
    assert done.stderr == ""
    assert [span.name for span in sink.wait_for(1)] == ["SELECT"]


def test_a_disabled_integration_stays_off(run, sink):
    source = "import sqlite3, pitviper\nsqlite3.connect(':memory:').execute('SELECT 1')\n"
    source += "from pitviper.instrument import engine\nprint(engine.states()['sqlite3'])\n"
    done = run(source, PITVIPER_INTEGRATIONS_DISABLED="sqlite3,flask")
    assert done.stdout == "disabled by configuration\n"
    assert sink.spans == []


def test_patches_can_be_taken_back(run):
    source = """
import sqlite3, flask, pitviper
from pitviper.instrument import engine
assert engine._applied and type(sqlite3.connect(':memory:')) is not sqlite3.Connection
engine.uninstall()
print(hasattr(flask.Flask.dispatch_request, '__wrapped__'), type(sqlite3.connect(':memory:')) is sqlite3.Connection)
"""
    assert run(source).stdout.split() == ["False", "True"]


def test_sitecustomize_is_silent_where_pitviper_is_not_wanted(run):
    done = run("", command=(sys.executable, "-m", "pip", "--version"))
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize(
    ("command", "service"),
    [
        ("gunicorn -w 4 blog_app:app", "blog_app"),
        ("python -m gunicorn shop.wsgi", "gunicorn"),
        ("python3.11 /srv/shop/app.py --port 80", "shop"),
        ("python -X dev tools/import_orders.py", "import_orders"),
        ("python -W error -m shop.jobs.nightly", "shop"),
        ("/usr/bin/python3 /venv/bin/flask --app flaskr run", "flaskr"),
        ("python -c pass", "python-application"),
        ("python -uc pass", "python-application"),
        ("python -Bm shop.jobs", "shop"),
        ("python", "python-application"),
        ("/venv/bin/python /venv/bin/celery -A shop.tasks worker", "shop"),
        ("uvicorn shop.main:app --reload", "shop"),
        ("uwsgi --http-socket localhost:8000 --module shop.wsgi:app -p 4", "shop"),
        ("uwsgi --http-socket :8000 --wsgi-file=/srv/shop/wsgi.py", "shop"),
        ("uwsgi --ini production.ini", "uwsgi"),
    ],
)
def test_service_names_are_guessed(command, service):
    assert config.guess_service(command.split(), {}) == service


def test_variables_count_in_order():
    loaded = config.load(
        {"DD_SERVICE": "dd", "OTEL_SERVICE_NAME": "otel", "DD_TAGS": "a:b c:d", "OTEL_TRACES_SAMPLER": "always_off"}
    )
    assert loaded["service"] == "otel" and loaded.resolved["service"].source == "OTEL_SERVICE_NAME"
    assert loaded["tags"] == {"a": "b", "c": "d"}
    assert loaded.sampler() == ("always_off", 1.0)
    assert loaded.traces_url == "http://127.0.0.1:4318/v1/traces"
    loaded = config.load({"OTEL_RESOURCE_ATTRIBUTES": "service.name=from%20tags"}, {"sample_rate": 0.5})
    assert loaded["service"] == "from tags"
    assert loaded.sampler() == ("parentbased_traceidratio", 0.5)
    with pytest.raises(TypeError, match="no setting colour"):
        config.load({}, {"colour": "red"})


@pytest.mark.parametrize(
    ("environ", "given", "sampler"),
    [
        ({}, {}, ("parentbased_traceidratio", 1.0)),
        ({"DD_TRACE_SAMPLE_RATE": "0.1"}, {}, ("parentbased_traceidratio", 0.1)),
        ({"DD_TRACE_SAMPLE_RATE": "0.1", "OTEL_TRACES_SAMPLER": "always_on"}, {}, ("always_on", 1.0)),
        ({"PITVIPER_SAMPLE_RATE": "0.2", "OTEL_TRACES_SAMPLER": "always_on"}, {}, ("parentbased_traceidratio", 0.2)),
        ({"PITVIPER_SAMPLE_RATE": "0.2"}, {"sampler": "always_off"}, ("always_off", 1.0)),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.3"}, {}, ("traceidratio", 0.3)),
        ({"OTEL_TRACES_SAMPLER": "xray", "DD_TRACE_SAMPLE_RATE": "0.1"}, {}, ("parentbased_traceidratio", 0.1)),
    ],
)
def test_samplers_count_in_order(environ, given, sampler):
    assert config.load(environ, given).sampler() == sampler


def test_disabling_counts_in_order():
    assert not config.load({"OTEL_SDK_DISABLED": "true", "DD_TRACE_ENABLED": "true"})["enabled"]
    assert config.load({"OTEL_SDK_DISABLED": "true", "PITVIPER_ENABLED": "true"})["enabled"]


def test_every_integration_declares_itself():
    for name in _index.MODULES:
        assert engine.declared(name).name == name
    assert set(engine.states()) <= set(_index.MODULES)


def test_secrets_in_urls_are_masked():
    assert masked_url("https://u:p@host:1/a?x=1&api_key=k#f") == "https://***@host:1/a?x=1&api_key=***"
    assert masked_query("Token=a&b=2&X-Amz-Signature=s") == "Token=***&b=2&X-Amz-Signature=***"
