"""aiosqlite: statements are those of sqlite3, below the span that awaits them.

aiosqlite runs a connection's statements in a thread of its own; the trace goes along. With `sqlite3` switched
off there are no spans.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "aiosqlite",
    distribution="aiosqlite",
    minimum=(0, 17),
    patches=(Patch("aiosqlite.core:Connection._execute", "execute"),),
)
