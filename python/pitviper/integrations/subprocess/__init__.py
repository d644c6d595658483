"""subprocess: a process under the agent continues the trace of who started it, when asked to.

`TRACEPARENT` and `TRACESTATE` are added to the environment of the child, a copy of the one it would
have had; also for `asyncio.create_subprocess_exec` and `_shell`. A Python program that runs under the
agent with the same option takes them as the parent of what it does. Requests and messages that it
serves stay traces of their own, so a server that is started this way does not add to a trace for ever.
Switch it on when programs are run to do part of a request.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._linking import linking

INTEGRATION = Integration(
    "subprocess",
    patches=(Patch("subprocess:Popen.__init__", "popen"),),
    options=(linking("subprocess"),),
)
