"""What a setting is: a name, a default, a meaning, and the environment variables that set it.

The agent's own settings are in :mod:`pitviper.config`; an integration declares its options with the same
class.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, TypeVar

    _Number = TypeVar("_Number", int, float)


class Setting:
    """One setting.

    Args:
        name: Its name in Python.
        default: Its value when nothing sets it.
        parse: Reads the text of a variable; raises ValueError with the values that are allowed.
        variables: The environment variables that set it, separated by spaces; the first one counts most.
        doc: What it means, and its unit.
        secret: Whether its value is never shown.
    """

    __slots__ = ("default", "doc", "name", "parse", "secret", "variables")

    def __init__(
        self, name: str, default: "Any", parse: "Callable[[str], Any]", variables: str, doc: str, secret: bool = False
    ) -> None:
        self.name = name
        self.default = default
        self.parse = parse
        self.variables = variables.split()
        self.doc = doc
        self.secret = secret


class Resolved:
    """A setting's value, where it came from, and what could not be followed on the way there."""

    __slots__ = ("problems", "source", "value")

    def __init__(self, value: "Any", source: str, problems: "tuple[str, ...]" = ()) -> None:
        self.value = value
        self.source = source
        self.problems = problems


class Partly(ValueError):
    """Raised by a parser that understood a part of a text, and takes that."""

    def __init__(self, value: "Any", problem: str) -> None:
        super().__init__(problem)
        self.value = value


#: The largest count that every platform's native half can hold.
_MAX_COUNT = 2**32 - 1

# What a parser says when it raises ValueError is shown to the user: the values that are allowed.


def text(value: str) -> str:
    """Text without spaces around it."""
    try:
        # The environment is bytes; those that are no text arrive as lone surrogates.
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("use UTF-8 text") from None
    return value.strip()


def one_of(*allowed: str) -> "Callable[[str], str]":
    """One of these words, in any case."""

    def parse(value: str) -> str:
        lowered = value.strip().lower()
        if lowered not in allowed:
            raise ValueError(f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
        return lowered

    return parse


def url(value: str) -> str:
    """An http or https URL."""
    value = text(value)
    scheme, _, rest = value.partition("://")
    if scheme.lower() not in ("http", "https") or not rest.strip("/"):
        raise ValueError("use a URL such as http://host:4318")
    return value


def flag(value: str) -> bool:
    """true or false, also as yes, no, on, off, 1 and 0."""
    lowered = value.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError("use true or false")


def within(value: str, convert: "Callable[[str], _Number]", low: "_Number", high: "_Number", advice: str) -> "_Number":
    """A number between two, these included; ``advice`` says what to use instead of anything else."""
    try:
        number = convert(value)
    except ValueError:
        raise ValueError(advice) from None
    if not low <= number <= high:
        raise ValueError(advice)
    return number


def count(value: str) -> int:
    """A whole number, not negative."""
    return within(value, int, 0, _MAX_COUNT, f"use a whole number from 0 to {_MAX_COUNT}")


def ratio(value: str) -> float:
    """A number from 0 to 1."""
    return within(value, float, 0.0, 1.0, "use a number from 0 to 1")


def names(value: str) -> "list[str]":
    """Names separated by commas."""
    return [name.strip() for name in value.split(",") if name.strip()]


#: The formats of contexts, by the names that settings use.
_FORMATS = ("tracecontext", "baggage", "datadog", "b3", "b3multi", "dynatrace")
#: Other names they are known by.
_SAME_FORMATS = {"b3 single header": "b3", "x-dynatrace": "dynatrace"}


def propagators(value: str) -> "list[str]":
    """Formats of contexts, separated by commas; ``none`` is none of them."""
    wanted = [name.lower() for name in names(value)]
    if "none" in wanted:
        return []
    wanted = [_SAME_FORMATS.get(name, name) for name in wanted]
    known = list(dict.fromkeys(name for name in wanted if name in _FORMATS))
    unknown = [name for name in wanted if name not in _FORMATS]
    problem = f"use {', '.join(_FORMATS)} or none"
    if not known:
        raise ValueError(problem)
    if unknown:
        raise Partly(known, f"without {', '.join(unknown)}, which nobody here knows: {problem}")
    return known


def pairs(value: str) -> "dict[str, str]":
    """Reads ``a=b,c=d`` (OpenTelemetry) and ``a:b,c:d`` or ``a:b c:d`` (Datadog)."""
    value = text(value)
    separators = value.replace(" ", ",") if "=" not in value else value
    found: dict[str, str] = {}
    for item in separators.split(","):
        key, separator, rest = item.partition("=" if "=" in item else ":")
        if key.strip() and separator:
            found[key.strip()] = _unquote(rest.strip())
    return found


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text)


def resolve(setting: Setting, environ: "Mapping[str, str]") -> Resolved:
    """The value that the variables give a setting. One that cannot be read is named among the problems and skipped."""
    value, source = setting.default, "default"
    ignored: list[str] = []
    for variable in setting.variables:
        text = environ.get(variable)
        if not text:
            continue
        try:
            value, source = setting.parse(text), variable
            break
        except Partly as error:
            value, source = error.value, variable
            ignored.append(f"{variable}={text!r} is followed {error}")
            break
        except ValueError as error:
            shown = "***" if setting.secret else repr(text)
            ignored.append(f"{variable}={shown} is ignored: {error}")
    instead = "the default applies" if source == "default" else f"{source} applies"
    if not setting.secret and value not in (None, {}, []):
        instead += f": {value}"
    return Resolved(value, source, tuple(f"{problem}; {instead}" for problem in ignored))
