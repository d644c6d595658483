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
_MAX_REMEMBERED_LENGTH = 4_096

_TOKENS = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|$))
    | (?P<literal>
          [xXbBnN]?'(?:[^']|'')*(?:'|$)
        | \$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)
        | (?<![\w.$:@?])(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
      )
    | (?P<name>"(?:[^"]|"")*(?:"|$)|`[^`]*(?:`|$)|\[[^\]\d][^\]]*(?:\]|$)|[:@$]?[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
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
    if len(statement) <= _MAX_REMEMBERED_LENGTH:
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[statement] = described
    return described


def _describe(statement: str) -> "tuple[str, str, str]":
    out: list[str] = []
    words: list[str] = []
    for token in _TOKENS.finditer(statement):
        kind = token.lastgroup
        if kind == "tag" or token["literal"] is not None:
            out.append("?")
            words.append("?")
        elif kind == "space":
            if out and out[-1] != " ":
                out.append(" ")
        else:
            text = token[0]
            out.append(text)
            words.append(text)
    text = _LISTS.sub("(?)", "".join(out).strip())
    operation = next((word.upper() for word in words if word.isidentifier()), "")
    table = _table(words, operation)
    return text, f"{operation} {table}".strip() or "SQL", operation


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
