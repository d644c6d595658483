"""The option that integrations share that link work across threads and processes."""

from pitviper.settings import Setting, flag


def linking(integration: str) -> Setting:
    """The option that switches an integration's linking on; ``PITVIPER_LINKING`` switches on all."""
    return Setting(
        "linking",
        False,
        flag,
        f"PITVIPER_{integration.upper()}_LINKING PITVIPER_LINKING",
        "Whether traces continue there. `PITVIPER_LINKING=true` switches it on for threading, queue, subprocess "
        "and multiprocessing together.",
    )
