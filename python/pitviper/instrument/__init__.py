"""Instrumentation as data: an integration says which functions it wraps, the engine does it.

An integration is a folder ``integrations/<library>/``: ``__init__.py`` declares it and imports
nothing else of it or of the library; ``patches.py`` holds the wrappers and is imported when the
library is.
"""

from typing import Optional


class Patch:
    """One function to wrap.

    Args:
        target: Where it is, as ``module:Class.attribute`` or ``module:function``.
        wrapper: Name of the factory in the integration's ``patches.py``: it takes the original and
            returns the replacement.
        optional: Whether the library may be without it.
    """

    __slots__ = ("attribute", "module", "optional", "wrapper")

    def __init__(self, target: str, wrapper: str, optional: bool = False) -> None:
        self.module, _, self.attribute = target.partition(":")
        self.wrapper = wrapper
        self.optional = optional


class Integration:
    """What is wrapped in one library.

    Args:
        name: The folder's name, and the name that disables it.
        patches: The functions to wrap.
        distribution: The library's distribution on PyPI; None for the standard library.
        minimum: The oldest version it is made for, such as ``(2, 0)``.
    """

    __slots__ = ("distribution", "minimum", "name", "patches")

    def __init__(
        self,
        name: str,
        patches: "tuple[Patch, ...]",
        distribution: Optional[str] = None,
        minimum: "tuple[int, ...]" = (),
    ) -> None:
        self.name = name
        self.patches = patches
        self.distribution = distribution
        self.minimum = minimum
