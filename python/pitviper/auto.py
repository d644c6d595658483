"""Importing this module starts the agent: ``import pitviper.auto`` as the application's first line."""

from pitviper import init
from pitviper._guard import internal_error, say

try:
    init()
except Exception as error:
    # Settings that cannot be followed are dealt with before; this is for what nobody foresaw.
    say(f"not tracing: {type(error).__name__}: {error}")
    internal_error(error)
