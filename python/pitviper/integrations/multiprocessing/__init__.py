"""multiprocessing: processes and pools continue the trace of who gave them work, when asked to.

A new process never inherits the span that was current when it was forked: a pool's workers outlive the
request that needed the first of them. With linking, a `Process` continues the trace of who started it,
and each job of a `Pool` the trace of who submitted it; with the start methods fork, spawn and
forkserver. The processes must run under the agent. Queues and pipes are not linked.

``Process.terminate`` and the end of a ``Pool`` end a process by SIGTERM. Where the process does not handle that
itself, it sends its last spans before, for three seconds at most (``PITVIPER_EXIT_TIMEOUT``).
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._linking import linking

INTEGRATION = Integration(
    "multiprocessing",
    patches=(
        Patch("multiprocessing.process:BaseProcess.start", "start"),
        Patch("multiprocessing.process:BaseProcess._bootstrap", "bootstrap"),
        Patch("multiprocessing.pool:Pool.apply_async", "submit"),
        Patch("multiprocessing.pool:Pool._map_async", "submit"),
        Patch("multiprocessing.pool:Pool.imap", "submit"),
        Patch("multiprocessing.pool:Pool.imap_unordered", "submit"),
    ),
    options=(linking("multiprocessing"),),
)
