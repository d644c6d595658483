"""What a process says of itself."""

import platform
import sys

import pytest

from pitviper import config
from pitviper.resource import masked_arguments, resource_attributes


@pytest.mark.parametrize("variable", ["PITVIPER_TAGS", "OTEL_RESOURCE_ATTRIBUTES", "DD_TAGS"])
def test_tags_of_the_user_count_more_than_what_is_found_out(variable):
    found = resource_attributes(config.load({}))
    assert found["host.name"] == platform.node()
    told = resource_attributes(config.load({variable: "host.name=shop-7,telemetry.sdk.name=other"}))
    assert told["host.name"] == "shop-7"
    # What made the spans is not for the user to say.
    assert told["telemetry.sdk.name"] == "pitviper"


def test_the_command_and_the_runtime_are_told(run, sink):
    source = "import pitviper\nwith pitviper.tracer.start_as_current_span('work'): pass\n"
    done = run(source, "--password", "hush", "--port=80")
    assert done.returncode == 0, done.stderr
    resource = sink.wait_for(1)[0].resource
    assert resource["process.command"].endswith("program.py")
    executable, *arguments = resource["process.command_args"]
    assert "python" in executable
    assert arguments == [resource["process.command"], "--password", "***", "--port=80"]
    assert resource["process.runtime.description"] == " ".join(sys.version.split())


@pytest.mark.parametrize(
    ("command", "masked"),
    [
        ("shop --password=p --port=80", "shop --password=*** --port=80"),
        ("shop --db-password p serve", "shop --db-password *** serve"),
        ("shop -token p --no-auth --port 80", "shop -token *** --no-auth --port 80"),
        ("shop --api_key -p- x", "shop --api_key *** x"),
        ("shop DB_PASSWORD=p A=b", "shop DB_PASSWORD=*** A=b"),
        ("shop postgres://u:p/w@h/db --url=https://u@h", "shop postgres://***@h/db --url=https://***@h"),
        ("shop https://h/?a=1&access_token=t", "shop https://h/?a=1&access_token=***"),
        ("shop -H Authorization:\x00Bearer\x00t", "shop -H Authorization:\x00***"),
        ('shop {"user":"u","password":"p"}', 'shop {"user":"u","password":***'),
        ("python -c print(1) a", "python -c *** a"),
        ("python3.12 -Xdev -Wx -uc print(1)", "python3.12 -Xdev -Wx -uc ***"),
        ("python -cprint(1) a", "python *** a"),
        ("python -m gunicorn -c conf.py shop:app", "python -m gunicorn -c conf.py shop:app"),
        ("gunicorn -c conf.py shop:app", "gunicorn -c conf.py shop:app"),
        ("shop secret://host:80/key", "shop secret://host:80/key"),
    ],
)
def test_secrets_of_a_command_line_are_masked(command, masked):
    # A space inside an argument is written as a zero byte.
    arguments = [argument.replace("\0", " ") for argument in command.split(" ")]
    assert masked_arguments(arguments) == [argument.replace("\0", " ") for argument in masked.split(" ")]


def test_a_command_line_is_bounded():
    arguments = masked_arguments(["shop", "x" * 5_000] + ["y"] * 5_000)
    assert (len(arguments), len(arguments[1])) == (128, 1_024)
    assert masked_arguments([]) == []
