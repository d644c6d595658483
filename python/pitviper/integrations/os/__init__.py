"""Ends of a process that run no exit handlers: spans that wait are sent first.

``os._exit`` is how children leave that an application forks, and those of ``socketserver.ForkingMixIn``;
``os.execv`` and its siblings put another program in the place of this one. No spans are made. Where the
server does not answer, leaving takes no longer than with exit handlers: ``PITVIPER_EXIT_TIMEOUT`` milliseconds, at
most three seconds by default. What a signal ends that nobody handles is lost with its last second of spans.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "os",
    patches=(
        Patch("os:_exit", "leave"),
        Patch("os:execv", "replace"),
        Patch("os:execve", "replace"),
    ),
)
