"""What the server asks of this process while it runs.

Settings are an answer to an export: who sends spans, metrics, logs or profiles names its service and
environment, and a Pitviper server answers what an operator wants to be different there. They count more than
those of the process; what is taken back again is as the process has it.
"""

from pitviper import _native, profiles
from pitviper.config import Config
from pitviper.settings import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

#: Where these settings come from, as :class:`Resolved` says it.
SOURCE = "the server"

#: What the server told last, by the name of our setting.
_told: "dict[str, Resolved]" = {}


def lay_over(config: Config) -> Config:
    """The settings with those of the server in the place of the process's own."""
    if not _told or not config["remote_settings"]:
        return config
    return Config({**config.resolved, **_told})


def take(text: str) -> bool:
    """Takes what the server told, as JSON; whether that changes anything.

    Raises:
        ValueError: It is no JSON object, or a value makes no sense. Nothing has changed then.
    """
    global _told
    told = _read(text)
    if {name: it.value for name, it in told.items()} == {name: it.value for name, it in _told.items()}:
        return False
    _told = told
    return True


def _read(text: str) -> "dict[str, Resolved]":
    # Read natively: this runs in a thread that imports nothing, and few applications need json from the start.
    values = _native.read_settings(text)
    found: dict[str, Resolved] = {}
    for name, (setting, convert) in _UNDERSTOOD.items():
        # What an older agent does not know yet is left out, and so is what is not said.
        if values.get(name) is not None:
            found[setting] = Resolved(convert(values[name]), SOURCE)
    if values.get("tracing") is False:
        # Unlike an agent that is disabled one that samples nothing goes on to ask.
        found.pop("sample_rate", None)
        found["sampler"] = Resolved("always_off", SOURCE)
    return found


def _share(value: "Any") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"not a share from 0 to 1: {value!r}")
    return float(value)


def _switch(value: "Any") -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"neither true nor false: {value!r}")
    return value


def _rate(value: "Any") -> int:
    return profiles.rate(str(value))


#: What a server may say, which setting of ours that is, and how its value is read.
_UNDERSTOOD: "dict[str, tuple[str, Callable[[Any], Any]]]" = {
    "sample_rate": ("sample_rate", _share),
    "profiling": ("profiling_enabled", _switch),
    "profiling_rate": ("profiling_rate", _rate),
}
