"""uvloop: how late its event loop runs what is due; see the integration ``event_loop``. Makes no spans."""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "uvloop",
    distribution="uvloop",
    patches=(Patch("uvloop:Loop.run_forever", "run_forever"),),
)
