"""The version of ddtrace whose API this is."""

__all__ = ["__version__"]

__version__ = "4.16.0"
