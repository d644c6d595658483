"""SQL statements without their literals, and a short name for each.

Source: OpenTelemetry semantic conventions for databases, "Sanitization of db.query.text" and
"Generating query summary".
"""

import re

#: Longest statement that is recorded, in characters.
MAX_STATEMENT = 16_384
#: Statements whose description is remembered. Parameterised statements repeat; when an application
#: builds each one anew, the memory is emptied and filled again.
_MAX_REMEMBERED = 1_024
#: Longest statement that is remembered, in characters.
MAX_REMEMBERED_LENGTH = 4_096

# No alternative gives back what it took, so the time is linear in the statement's length. A word that
# begins with a digit is a number (0x1F, 1_000, 2.5e-3) or a mistake, such as a value without quotes.
_TOKENS = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|$))
    | (?P<literal>
          [xXbBnN]?'(?:[^']|'')*(?:'|$)
        | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)
        | (?<![\w.$:@?])\.?\d(?:[eE][+-](?=\d)|[\w.])*
      )
    | (?P<name>"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\[[^\]\d][^\]]*(?:\]|$)|[:@$]?[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUALIFIES = re.compile(r"\s*\.")
_LISTS = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_OPERATIONS_WITH_TABLE = ("FROM", "INTO", "UPDATE", "TABLE", "JOIN")
_SKIPPED_BEFORE_TABLE = ("IF", "NOT", "EXISTS", "ONLY", "OR", "REPLACE", "IGNORE", "ABORT", "FAIL", "ROLLBACK")

_remembered: "dict[str, tuple[str, str, str]]" = {}


def describe(statement: str) -> "tuple[str, str, str]":
    """Describes a statement.

    Returns:
        Its text with literals replaced by ``?``, a summary such as ``SELECT post``, and its
        operation such as ``SELECT``.
    """
    found = _remembered.get(statement)
    if found is not None:
        return found
    described = _describe(statement[:MAX_STATEMENT])
    if len(statement) <= MAX_REMEMBERED_LENGTH:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[statement] = described
    return described


def _describe(statement: str) -> "tuple[str, str, str]":
    out: list[str] = []
    words: list[str] = []
    lists = _ValueLists()
    for token in _TOKENS.finditer(statement):
        kind = token.lastgroup
        if kind == "tag" or token["literal"] is not None or _is_quoted_value(token, words, lists):
            out.append("?")
            words.append("?")
        elif kind == "space":
            if out and out[-1] != " ":
                out.append(" ")
        else:
            text = token[0]
            lists.follow(text, words)
            out.append(text)
            words.append(text)
    text = _LISTS.sub("(?)", "".join(out).strip())
    operation = next((word.upper() for word in words if word.isidentifier()), "")
    table = _table(words, operation)
    return text, f"{operation} {table}".strip() or "SQL", operation


#: What a value follows, and a column alone less often.
_BEFORE_VALUE = frozenset(("=", "<", ">", "LIKE", "GLOB", "MATCH", "REGEXP", "IS", "BETWEEN", "DEFAULT"))


class _ValueLists:
    """Follows the parentheses of a statement: which of them hold values, as ``IN (`` and ``VALUES (`` do."""

    __slots__ = ("_closed", "_open")

    def __init__(self) -> None:
        self._open: list[bool] = []
        # Whether the group that closed last held values: VALUES (1), (2).
        self._closed = False

    @property
    def inside(self) -> bool:
        return bool(self._open) and self._open[-1]

    def follow(self, text: str, words: "list[str]") -> None:
        """Takes notice of the next word."""
        before = words[-1].upper() if words else ""
        if text == "(":
            self._open.append(before in ("IN", "VALUES") or (before == "," and self._closed))
        elif text == ")":
            self._closed = self._open.pop() if self._open else False
        elif before == "(" and self.inside and text.upper() in ("SELECT", "WITH"):
            self._open[-1] = False
        elif text != ",":
            self._closed = False


def _is_quoted_value(token: "re.Match[str]", words: "list[str]", lists: _ValueLists) -> bool:
    """Whether a token in double quotes is taken for a text.

    Standard SQL has names in them. SQLite takes one for a text when no column has that name, which
    only the database knows; here it is one where values are usual: after a comparison, and in the
    lists of ``IN`` and ``VALUES``. A name with a table before or after it (``"post"."id"``, as
    object mappers write) is a name everywhere. So a column may be masked, ``a = "b"``, which costs a
    little of the text; a value elsewhere, ``lower("x")``, is shown.
    """
    if not token[0].startswith('"') or not words:
        return False
    if _QUALIFIES.match(token.string, token.end()):
        return False
    before = words[-1].upper()
    if before == "AND":
        return len(words) > 2 and words[-3].upper() == "BETWEEN"
    return before in _BEFORE_VALUE or (before in ("(", ",") and lists.inside)


def _table(words: "list[str]", operation: str) -> str:
    for index, word in enumerate(words[:-1]):
        upper = word.upper()
        if upper not in _OPERATIONS_WITH_TABLE and not (index == 0 and upper == "PRAGMA"):
            continue
        rest = iter(range(index + 1, len(words)))
        for at in rest:
            name = words[at]
            if name.upper() in _SKIPPED_BEFORE_TABLE:
                continue
            if not (name[0].isalpha() or name[0] in '_"`['):
                break
            while at + 2 < len(words) and words[at + 1] == ".":
                at += 2
                name = f"{name}.{words[at]}"
            return name.replace('"', "").replace("`", "")
    return ""
