"""Watches the garbage collector, for metrics and for profiles, with one callback."""

import gc

from pitviper import _native

_wanted_by: "set[str]" = set()


def watch(who: str, wanted: bool) -> None:
    """Says whether collections are to be measured.

    Args:
        who: ``metrics`` or ``profiler``; it is measured while any of them wants it.
        wanted: Whether this one does.
    """
    if wanted and who == "metrics" and who not in _wanted_by:
        _native.seed_gc(gc.get_stats())
    (_wanted_by.add if wanted else _wanted_by.discard)(who)
    is_watched = _native.gc_event in gc.callbacks
    if _wanted_by and not is_watched:
        gc.callbacks.append(_native.gc_event)
    elif is_watched and not _wanted_by:
        gc.callbacks.remove(_native.gc_event)
