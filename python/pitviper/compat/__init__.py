"""Other agents' APIs over this one: code written for them traces through Pitviper, unchanged.

The package of such an API lies here under its own name, and a finder has it found where the application
imports the other's. ``PITVIPER_COMPAT`` names those that take the place of an installed package; what is
not installed is found here in any case.
"""

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, Optional

#: The APIs there are.
NAMES = ("ddtrace", "oneagent")
_OURS = f"{__name__}."


class Finder:
    """Finds ``name`` in the package of the same name here.

    Both names are one module, so that a class is the same whoever imported it.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: "Optional[Sequence[str]]" = None, target: "Optional[ModuleType]" = None
    ) -> "Optional[ModuleSpec]":
        return _spec(fullname) if fullname == self.name else None


class _Below:
    """Finds what is below a name, before anybody finds its file and makes a second module of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._below = f"{name}."

    def find_spec(
        self, fullname: str, path: "Optional[Sequence[str]]" = None, target: "Optional[ModuleType]" = None
    ) -> "Optional[ModuleSpec]":
        # `from ddtrace import x` looks for a module below the one that it found.
        name = fullname[len(_OURS) :] if fullname.startswith(_OURS) else fullname
        if not name.startswith(self._below):
            return None
        removed = getattr(import_module(_OURS + self.name), "removed_module", None)
        message = None if removed is None else removed(name)
        if message is not None:
            raise ImportError(message, name=name)
        return None if name is not fullname else _spec(name)


def _spec(name: str) -> "Optional[ModuleSpec]":
    from importlib.util import find_spec

    ours = _OURS + name
    if ours not in sys.modules and find_spec(ours) is None:
        return None
    loader: Any = _Alias(ours)
    return ModuleSpec(name, loader, is_package=hasattr(import_module(ours), "__path__"))


class _Alias:
    """Loads a module of ours under another name."""

    def __init__(self, ours: str) -> None:
        self._ours = ours

    def create_module(self, spec: ModuleSpec) -> "Optional[ModuleType]":
        return None

    def exec_module(self, module: "ModuleType") -> None:
        # What stands here when a module has been executed is what is imported.
        sys.modules[module.__name__] = import_module(self._ours)
        if module.__name__ in NAMES:
            sys.meta_path.insert(0, _Below(module.__name__))  # pyright: ignore[reportArgumentType]


def install(chosen: "Sequence[str]") -> None:
    """Has the APIs found: those that are chosen before all else, the others where nobody else has them."""
    known = {finder.name for finder in sys.meta_path if isinstance(finder, Finder)}
    for name in NAMES:
        if name in known:
            continue
        finder: Any = Finder(name)
        if name in chosen:
            sys.meta_path.insert(0, finder)
        else:
            sys.meta_path.append(finder)


def uninstall() -> None:
    """Has them found no more."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, (Finder, _Below))]
