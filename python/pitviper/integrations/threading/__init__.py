"""threading: a thread continues the trace of who started it, when asked to.

Switch it on when requests start threads to do part of their work. Leave it off when threads are started
in the middle of a request but serve others, too: their work would look like the request's. Threads of
the standard library's own pools and listeners are never linked. While the span that started the thread
is open, what the thread does is below it; afterwards it makes traces of its own, linked to it.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._linking import linking

INTEGRATION = Integration(
    "threading",
    patches=(
        Patch("threading:Thread.start", "start"),
        Patch("threading:Thread._bootstrap_inner", "bootstrap_inner"),
    ),
    options=(linking("threading"),),
)
