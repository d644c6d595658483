"""Documents as they are recorded: what a client wrote into them itself is left out."""

import functools
import re
from typing import Any

#: The longest part of a document that is recorded, in characters.
MAX_DOCUMENT = 16_384
#: Documents up to this length are kept with their masked form, so that one that comes again costs nothing.
_MAX_KEPT = 4_096
#: How many of them.
_KEPT = 256

#: Block strings, strings, comments, and numbers that are not part of a name. One that a cut left without its
#: end goes on to the end.
_LITERAL = re.compile(
    r'"""(?:\\"""|[^"]|"(?!""))*(?:"""|\Z)|"(?:[^"\\\r\n]|\\.)*"?|#[^\r\n]*'
    r"|(?<![0-9A-Za-z_])-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
)


def masked(source: Any) -> str:
    """A document with ``?`` in the place of strings and numbers, and without comments.

    Args:
        source: Its text, or graphql-core's ``Source``.
    """
    text: str = source if isinstance(source, str) else source.body
    return _kept(text) if len(text) <= _MAX_KEPT else _mask(text[:MAX_DOCUMENT])


def _mask(text: str) -> str:
    return _LITERAL.sub(_hidden, text)


_kept = functools.lru_cache(_KEPT)(_mask)


def _hidden(found: "re.Match[str]") -> str:
    return "" if found.group().startswith("#") else "?"
