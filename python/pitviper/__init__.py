"""Pitviper: tracing for Python applications.

Nothing has to be changed in an application: start it with ``pitviper run COMMAND`` or import
:mod:`pitviper.auto` first. To add spans of your own::

    from pitviper import tracer

    with tracer.start_as_current_span("reprice") as span:
        span.set_attribute("shop.items", 12)
"""

from pitviper import baggage
from pitviper._native import __version__
from pitviper.bootstrap import flush, init, shutdown
from pitviper.tracer import tracer

__all__ = ["__version__", "baggage", "flush", "init", "shutdown", "tracer"]
