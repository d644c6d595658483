"""The option of integrations whose users ask for one message after the other."""

from pitviper.settings import Setting, flag


def loops_option(variable: str) -> Setting:
    """Whether the body of a loop over messages has a span."""
    return Setting(
        "loops",
        True,
        flag,
        variable,
        "Whether a message that was asked for alone is processed in a consumer span, which is current until "
        "the next one is asked for or the consumer is closed. If not, there is a client span for fetching it.",
    )
