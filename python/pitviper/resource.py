"""What describes this process, by OpenTelemetry's resource conventions."""

import os
import sys

from pitviper.config import Config, command_line, python_target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

#: Arguments that are recorded, and the characters of each.
_MAX_ARGUMENTS, _MAX_ARGUMENT = 128, 1_024
#: What stands in the place of a secret.
MASK = "***"

#: What the names of secrets have in them: ``--db-password``, ``API_KEY``, ``Authorization``.
SECRET_WORDS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "auth",
    "credential",
    "signature",
    "cookie",
    "session",
    "dsn",
)


def resource_attributes(config: Config) -> "dict[str, object]":
    """The attributes of this process. What the user says counts more than what is found out. The
    process id and the instance id are added natively, because a fork changes them."""
    from pitviper._native import __version__, machine_attributes

    command = command_line()
    attributes: dict[str, object] = {
        **machine_attributes(),
        "host.name": os.uname().nodename,
        "os.type": sys.platform,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": sys.version.partition(" ")[0],
        "process.runtime.description": " ".join(sys.version.split()),
        "process.executable.path": sys.executable or "",
        "process.command": _program(command),
        "process.command_args": masked_arguments(command),
    }
    attributes.update(config["tags"])
    attributes["service.name"] = config["service"]
    if config["version"]:
        attributes["service.version"] = config["version"]
    if config["env"]:
        attributes["deployment.environment.name"] = config["env"]
    attributes["telemetry.sdk.name"] = "pitviper"
    attributes["telemetry.sdk.language"] = "python"
    attributes["telemetry.sdk.version"] = __version__
    return attributes


def masked_arguments(command: "list[str]") -> "list[str]":
    """A command line without the values of options that look like secrets, credentials in URLs, and
    code given to the interpreter. Rather too much is masked than too little."""
    masked: list[str] = []
    code = _code_position(command)
    hide_next = False
    for index, argument in enumerate(command[:_MAX_ARGUMENTS]):
        if index == code or (hide_next and not argument.startswith("--")):
            masked.append(MASK)
            hide_next = False
        elif _may_be_secret(argument):
            # Expressions take longer to load than most of the agent, and most processes need none.
            from pitviper import _masking

            hide_next = _masking.is_secret_option(argument)
            masked.append(_masking.masked(argument[:_MAX_ARGUMENT]))
        else:
            hide_next = False
            masked.append(argument[:_MAX_ARGUMENT])
    return masked


def _may_be_secret(argument: str) -> bool:
    folded = argument.casefold()
    return "://" in folded or any(word in folded for word in SECRET_WORDS)


def _target(command: "list[str]") -> "Optional[tuple[str, str, int]]":
    is_python = command and os.path.basename(command[0]).startswith(("python", "pypy"))
    return python_target(command[1:]) if is_python else None


def _program(command: "list[str]") -> str:
    """The program as its users know it: the script or module that the interpreter runs."""
    target = _target(command)
    if target is not None and target[0] != "c":
        return target[1]
    return command[0] if command else ""


def _code_position(command: "list[str]") -> int:
    """Where the code of ``python -c CODE`` is; -1 when there is none."""
    target = _target(command)
    # Positions of a target are those after the interpreter.
    return target[2] if target is not None and target[0] == "c" else -1
