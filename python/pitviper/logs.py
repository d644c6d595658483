"""A handler that sends records of ``logging`` to the server.

Nobody needs it where the agent sends all records by itself (``PITVIPER_LOGS_ENABLED``, on by default); it is
for sending those of chosen loggers only::

    logging.getLogger("shop").addHandler(pitviper.logs.LogHandler())
"""

import logging

from pitviper import _native


class LogHandler(logging.Handler):
    """Sends each record it gets, natively: nothing blocks, and what the queue has no room for is dropped and
    counted in ``pitviper._native.stats()``.

    Records that are written while one is being read, by an argument's ``__str__`` for example, are not sent.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Sends a record, unless the agent has already."""
        from pitviper.instrument import engine

        if engine.states().get("log_export") != "in place":
            _native.emit_record(record)
