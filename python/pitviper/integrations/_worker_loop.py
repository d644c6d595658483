"""The option that integrations of job queues share, about what their workers do between jobs."""

from pitviper.settings import Setting, flag


def loop_spans(integration: str) -> Setting:
    """The option that keeps spans of a worker's own calls; ``PITVIPER_LOOP_SPANS`` is for all workers."""
    return Setting(
        "loop_spans",
        False,
        flag,
        f"PITVIPER_{integration.upper()}_LOOP_SPANS PITVIPER_LOOP_SPANS",
        "Whether calls that a worker makes between jobs, to ask its broker for more, are traces of one span each. "
        "`PITVIPER_LOOP_SPANS=true` keeps them for Celery, RQ and Dramatiq together.",
    )
