"""Pitviper: tracing for Python applications.

Nothing has to be changed in an application: start it with ``pitviper run COMMAND`` or import
:mod:`pitviper.auto` first. To add spans of your own::

    from pitviper import tracer

    with tracer.start_as_current_span("reprice") as span:
        span.set_attribute("shop.items", 12)
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pitviper import baggage
    from pitviper._native import __version__
    from pitviper._tracer import tracer
    from pitviper.bootstrap import flush, init, shutdown

__all__ = ["__version__", "baggage", "flush", "init", "shutdown", "tracer"]


def __getattr__(name: str) -> object:
    """All of them at once, when the first is used: ``pitviper run`` itself needs none. Whoever starts the agent uses
    one, so no thread imports them while another forks, which would lock them for ever in the child."""
    if name not in __all__:
        raise AttributeError(f"module 'pitviper' has no attribute {name!r}")
    # Not `from pitviper import baggage`, which would ask here for it.
    import pitviper.baggage as baggage
    from pitviper._native import __version__
    from pitviper._tracer import tracer
    from pitviper.bootstrap import flush, init, shutdown

    names: dict[str, object] = {
        "__version__": __version__,
        "baggage": baggage,
        "flush": flush,
        "init": init,
        "shutdown": shutdown,
        "tracer": tracer,
    }
    globals().update(names)
    return names[name]
