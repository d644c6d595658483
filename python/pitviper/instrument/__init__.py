"""Instrumentation as data: an integration says which functions it wraps, the engine does it.

An integration is a folder ``integrations/<library>/``: ``__init__.py`` declares it and imports
nothing else of it or of the library; ``patches.py`` holds the wrappers. Both are imported when the
library is.
"""

import os

from pitviper.settings import Setting, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional


class Patch:
    """One function to wrap.

    Args:
        target: Where it is, as ``module:Class.attribute`` or ``module:function``.
        wrapper: Name of the factory in the integration's ``patches.py``: it takes the original and
            returns the replacement, or the original to leave it as it is.
        optional: Whether the library may be without it.
    """

    __slots__ = ("attribute", "module", "optional", "wrapper")

    def __init__(self, target: str, wrapper: str, optional: bool = False) -> None:
        self.module, _, self.attribute = target.partition(":")
        self.wrapper = wrapper
        self.optional = optional


class SpanShape:
    """What one kind of span an integration makes looks like, for the reference.

    Args:
        name: Its name, with what varies in braces, such as ``{method} {route}``.
        kind: internal, server, client, producer or consumer.
        attributes: The keys of its attributes, separated by spaces.
        covers: What it measures, from what to what.
    """

    __slots__ = ("attributes", "covers", "kind", "name")

    def __init__(self, name: str, kind: str, attributes: str, covers: str) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes.split()
        self.covers = covers


class Integration:
    """What is wrapped in one library.

    Args:
        name: The folder's name, and the name that disables it.
        patches: The functions to wrap.
        distribution: The library's distribution on PyPI; None for the standard library.
        minimum: The oldest version it is made for, such as ``(2, 0)``.
        spans: The spans it makes.
        options: Settings of its own. Their variables begin with ``PITVIPER_`` and the integration's name.
    """

    __slots__ = ("distribution", "minimum", "name", "options", "patches", "spans")

    def __init__(
        self,
        name: str,
        patches: "tuple[Patch, ...]",
        distribution: "Optional[str]" = None,
        minimum: "tuple[int, ...]" = (),
        spans: "tuple[SpanShape, ...]" = (),
        options: "tuple[Setting, ...]" = (),
    ) -> None:
        self.name = name
        self.patches = patches
        self.distribution = distribution
        self.minimum = minimum
        self.spans = spans
        self.options = options


def option(integration: Integration, name: str) -> "Any":
    """The value of an integration's option, as the environment has it now.

    Raises:
        KeyError: The integration has no such option.
    """
    for setting in integration.options:
        if setting.name == name:
            return resolve(setting, os.environ).value
    raise KeyError(name)
