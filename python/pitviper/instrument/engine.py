"""Applies integrations when their libraries are imported, and takes them back.

A finder at the head of ``sys.meta_path`` waits for the modules that patches name; everything else
it passes on after one dictionary look-up. A module that was imported before is patched at once.
"""

import functools
import importlib
import os
import sys

from pitviper import _native
from pitviper._guard import internal_error, say
from pitviper.instrument import Integration, Patch
from pitviper.settings import resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any, Callable, Optional

_waiting: "dict[str, list[Callable[[], None]]]" = {}
_applied: "list[tuple[str, object, str, object, object]]" = []
_states: "dict[str, str]" = {}
_finder: "Optional[_Finder]" = None
_FAILED = "failed"
#: In the place of an original that a class has from its base.
_INHERITED = object()


def install(disabled: "frozenset[str]" = frozenset()) -> None:
    """Instruments all libraries that have an integration, now or when they are imported."""
    from pitviper.integrations._index import MODULES

    for name, modules in MODULES.items():
        if name in disabled:
            _states[name] = "disabled by configuration"
            continue
        _states[name] = "waits for the library to be imported"
        for module in modules:
            when_imported(module, lambda name=name, module=module: _apply(name, module))


def uninstall() -> None:
    """Takes all patches back. Objects made while they were in place keep working."""
    global _finder
    _take_back(_applied)
    _applied.clear()
    _waiting.clear()
    _states.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)  # pyright: ignore[reportArgumentType]
    _finder = None


def _take_back(applied: "list[tuple[str, object, str, object, object]]") -> None:
    for _, owner, attribute, original, replacement in reversed(applied):
        # Somebody who wrapped ours meanwhile keeps working; ours then stays below theirs.
        if vars(owner).get(attribute) is not replacement:
            continue
        if original is _INHERITED:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, original)


def leave_alone(name: str) -> None:
    """Takes one integration back, and has it stay off."""
    if name in _states:
        _remove(name)
        # What still waits for a module of the library finds that it failed.
        _states[name] = f"{_FAILED}: the application asked for it to be left alone"


def states() -> "dict[str, str]":
    """For each integration whether it is in place, and if not, why."""
    return dict(_states)


def when_imported(module: str, action: "Callable[[], None]") -> None:
    """Runs an action once a module has been imported; at once if it has."""
    if module in sys.modules:
        action()
        return
    _waiting.setdefault(module, []).append(action)
    _hook()


def _hook() -> None:
    global _finder
    if _finder is None:
        _finder = _Finder()
        sys.meta_path.insert(0, _finder)  # pyright: ignore[reportArgumentType]


def _apply(name: str, module: str) -> None:
    """Puts an integration's patches of one module in place."""
    if _states.get(name, "").startswith(_FAILED):
        # Another module of the library could not be patched.
        return
    try:
        integration = declared(name)
        reason = unsuitable(integration)
        if reason is not None:
            _states[name] = reason
            return
        factories = importlib.import_module(f"pitviper.integrations.{name}.patches")
        for setting in integration.options:
            for problem in resolve(setting, os.environ).problems:
                say(problem)
        for patch in integration.patches:
            if patch.module == module:
                _wrap(name, patch, getattr(factories, patch.wrapper))
        _states[name] = "in place"
        version = installed_version(integration.distribution) if integration.distribution else None
        if version is not None:
            _native.set_scope_version(f"pitviper.{name}", version)
    except Exception as error:
        # In place as a whole or not at all: half an integration starts spans that nothing ends.
        _remove(name)
        _states[name] = f"{_FAILED}: {type(error).__name__}: {error}"
        say(f"{name} is not traced: {type(error).__name__}: {error}")
        internal_error(error)


def declared(name: str) -> Integration:
    """An integration's declaration."""
    return importlib.import_module(f"pitviper.integrations.{name}").INTEGRATION


def trial(integration: Integration) -> "Optional[str]":
    """Imports the library, puts the integration in place and takes it back.

    Returns:
        Why it cannot be in place, or None.
    """
    import warnings

    try:
        missing: set[str] = set()
        with warnings.catch_warnings():
            # What a library says of itself when it is imported is for those who use it.
            warnings.simplefilter("ignore")
            for patch in integration.patches:
                try:
                    importlib.import_module(patch.module)
                except ModuleNotFoundError:
                    if not patch.optional:
                        raise
                    missing.add(patch.module)
        factories = importlib.import_module(f"pitviper.integrations.{integration.name}.patches")
        for patch in integration.patches:
            if patch.module in missing:
                continue
            _wrap(integration.name, patch, getattr(factories, patch.wrapper))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        _remove(integration.name)
    return None


def _remove(name: str) -> None:
    _take_back([patch for patch in _applied if patch[0] == name])
    _applied[:] = [patch for patch in _applied if patch[0] != name]


def unsuitable(integration: Integration) -> "Optional[str]":
    """Why the installed version of the library is not instrumented, or None."""
    if integration.distribution is None or not integration.minimum:
        return None
    version = installed_version(integration.distribution)
    if version is None:
        return None
    numbers: list[int] = []
    for part in version.split("."):
        digits = "".join(character for character in part if character.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    if tuple(numbers) < integration.minimum:
        needed = ".".join(map(str, integration.minimum))
        return f"{integration.distribution} {version} is older than {needed}"
    return None


@functools.cache
def installed_version(distribution: str) -> "Optional[str]":
    """The installed version of a distribution, or None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _wrap(name: str, patch: Patch, factory: "Callable[[Any], Any]") -> None:
    owner: Any = sys.modules[patch.module]
    *path, attribute = patch.attribute.split(".")
    for part in path:
        owner = getattr(owner, part, None)
    original: Any = getattr(owner, attribute, None)
    if original is None:
        if patch.optional:
            return
        raise AttributeError(f"{patch.module} has no {patch.attribute}")
    names: dict[str, Any] = owner.__dict__
    own: Any = names.get(attribute, _INHERITED)
    replacement: Any = None
    # A name that was imported from a module patched before, as sqlite3 does from sqlite3.dbapi2.
    for _, _, _, its_original, its_replacement in _applied:
        if its_replacement is original:
            replacement = its_replacement
            if own is not _INHERITED:
                own = original.__wrapped__ if its_original is _INHERITED else its_original
    if replacement is None:
        # Of a class method the function is wrapped, so that a subclass's call stays the subclass's.
        static: Any = _as_defined(owner, attribute)
        kind: Any = next((kind for kind in (classmethod, staticmethod) if type(static) is kind), None)
        if kind is not None:
            original = _function_of(static)
        replacement = factory(original)
        if replacement is original:
            # The integration's options say so.
            return
        if not isinstance(replacement, type):
            # Who looks at the function, a debugger or a framework, sees the one that was there.
            functools.update_wrapper(replacement, original)
        if kind is not None:
            replacement = kind(replacement)
    setattr(owner, attribute, replacement)
    _applied.append((name, owner, attribute, own, replacement))


def _function_of(static: "Any") -> "Any":
    return static.__func__


def _as_defined(owner: "Any", attribute: str) -> "Any":
    """What stands in the class or module, or in a base of it: a class method as such, not bound."""
    for place in getattr(owner, "__mro__", (owner,)):
        names: dict[str, Any] = place.__dict__
        if attribute in names:
            return names[attribute]
    return None


class _Finder:
    """Lets the other finders find a module, and has the loader tell when it was executed."""

    def find_spec(
        self, fullname: str, path: "Optional[Sequence[str]]" = None, target: "Optional[ModuleType]" = None
    ) -> "Optional[ModuleSpec]":
        if fullname not in _waiting:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            find = getattr(finder, "find_spec", None)
            spec: Optional[ModuleSpec] = find(fullname, path, target) if find else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)  # pyright: ignore[reportAttributeAccessIssue]
                return spec
        return None


class _Loader:
    """A loader that runs what waits for its module after executing it."""

    def __init__(self, loader: "Any") -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def create_module(self, spec: "ModuleSpec") -> "Optional[ModuleType]":
        return self._loader.create_module(spec)

    def exec_module(self, module: "ModuleType") -> None:
        # From here on the module looks as if we had never been there.
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in _waiting.pop(module.__name__, ()):
            try:
                action()
            except Exception as error:
                internal_error(error)
