"""Part of ddtrace's API."""
