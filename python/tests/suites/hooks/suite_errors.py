"""Writes down each error that the agent swallowed, with its stack: one JSON text a line."""

import json
import os
import traceback


def install(path):
    """Has every error that reaches ``_guard.internal_error`` written to a file."""
    from pitviper import _guard

    swallow = _guard.internal_error

    def internal_error(error):
        # Nothing of this may touch what the application under test has put in the place of open().
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        injected = getattr(error, "pitviper_injected", False)
        line = json.dumps({"injected": injected, "error": "injected" if injected else shown}) + "\n"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
        swallow(error)

    _guard.internal_error = internal_error
