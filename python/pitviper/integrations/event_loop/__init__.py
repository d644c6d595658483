"""asyncio: how late its event loop runs what is due, as the metric ``pitviper.python.event_loop.lag``.

A timer fires once a second while the loop runs, and tells how much later than asked for that was. There is
no task of the agent's, and the timer is gone when the loop stops. Makes no spans.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "event_loop",
    patches=(Patch("asyncio.base_events:BaseEventLoop.run_forever", "run_forever"),),
)
