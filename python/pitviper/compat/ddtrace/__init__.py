"""ddtrace's API, version 4, on this agent: spans made through it are ours, in one tree with all others.

``from ddtrace import tracer, patch, patch_all, config`` and ``from ddtrace.trace import ...`` mean this package
when ddtrace is not installed, and with ``pitviper run --compat ddtrace`` also when it is.
"""

import logging
import os
from typing import Any

from pitviper import bootstrap
from pitviper.compat import datadog

from ._config import config
from ._deprecations import DDTraceDeprecationWarning, removed_attribute, removed_module
from ._patch import patch, patch_all
from .version import __version__

__all__ = ["DDTraceDeprecationWarning", "__version__", "config", "patch", "patch_all", "removed_module", "tracer"]

bootstrap.ensure_configured()
datadog.mark_logs()
for _name in datadog.not_followed(os.environ):
    logging.getLogger("pitviper").info("%s changes nothing under Pitviper", _name)

from .trace import tracer  # noqa: E402


def __getattr__(name: str) -> Any:
    raise removed_attribute("ddtrace", name)
