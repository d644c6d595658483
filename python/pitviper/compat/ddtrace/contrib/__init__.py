"""What applications use of ddtrace's integrations: middlewares, and helpers for tags."""
