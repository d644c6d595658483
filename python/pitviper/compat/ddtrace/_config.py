"""``ddtrace.config``: what the agent's settings and ``DD_`` variables say, under ddtrace's names."""

import logging
import os
from collections.abc import Iterator, MutableMapping
from typing import Any, Optional

from pitviper import settings
from pitviper.bootstrap import current_config, ensure_configured
from pitviper.compat import datadog

logger = logging.getLogger("pitviper")


#: What an application may set of an integration, and which means nothing here.
_IGNORED = {
    "analytics_enabled": "every span of a recorded trace is kept and searched",
    "analytics_sample_rate": "every span of a recorded trace is kept and searched",
    "trace_query_string": "queries are always recorded, with secrets masked",
}
#: What names the service of an integration's spans.
_SERVICE_KEYS = ("service", "service_name")
#: What says whether an integration's spans continue other processes' traces, and are continued there.
_DISTRIBUTED_KEYS = ("distributed_tracing", "distributed_tracing_enabled")

#: Frames of an exception's stack that are kept; ddtrace's default.
_TRACEBACK_FRAMES = 30


class IntegrationConfig(MutableMapping[str, Any]):
    """What an application set for one integration, as items and as attributes.

    Anything may be set and read again. ``service`` and ``service_name`` are None until they are set, and then all
    spans of the integration are part of that service. With a false ``distributed_tracing`` it neither reads nor
    writes contexts.
    """

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_values", {})

    def __getitem__(self, key: str) -> Any:
        values: dict[str, Any] = object.__getattribute__(self, "_values")
        if key in values:
            return values[key]
        # What has no meaning here has no value either; who asks is not to fail.
        return None

    def __setitem__(self, key: str, value: Any) -> None:
        object.__getattribute__(self, "_values")[key] = value
        name = object.__getattribute__(self, "_name")
        if key in _SERVICE_KEYS:
            service = None if value is None else str(value)
            datadog.give_service(name, config.service_mapping.get(service or "", service))
        elif key in _DISTRIBUTED_KEYS:
            datadog.distribute(name, value is None or bool(value))
        elif key in _IGNORED:
            logger.info("ddtrace.config.%s.%s changes nothing under Pitviper: %s", name, key, _IGNORED[key])

    def __delitem__(self, key: str) -> None:
        if object.__getattribute__(self, "_values").pop(key, None) is None:
            return
        name = object.__getattribute__(self, "_name")
        if key in _SERVICE_KEYS:
            datadog.give_service(name, None)
        elif key in _DISTRIBUTED_KEYS:
            datadog.distribute(name, True)

    def __iter__(self) -> "Iterator[str]":
        return iter(object.__getattribute__(self, "_values"))

    def __len__(self) -> int:
        return len(object.__getattribute__(self, "_values"))

    def __contains__(self, key: object) -> bool:
        return key in object.__getattribute__(self, "_values")

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self[key]

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __repr__(self) -> str:
        return f"IntegrationConfig({object.__getattribute__(self, '_name')!r}, {dict(self)!r})"


class Config:
    """The settings under ddtrace's names. What is set here holds for this API; an unknown name is an integration."""

    def __init__(self) -> None:
        object.__setattr__(self, "_integrations", {})
        object.__setattr__(self, "_given", {})

    def _setting(self, name: str) -> Any:
        given: dict[str, Any] = object.__getattribute__(self, "_given")
        if name in given:
            return given[name]
        ensure_configured()
        config = current_config()
        return None if config is None else config[name]

    @property
    def service(self) -> Optional[str]:
        """The service of the process."""
        return self._setting("service")

    @service.setter
    def service(self, value: Optional[str]) -> None:
        self._given["service"] = value

    @property
    def env(self) -> Optional[str]:
        """The deployment environment."""
        return self._setting("env")

    @env.setter
    def env(self, value: Optional[str]) -> None:
        self._given["env"] = value

    @property
    def version(self) -> Optional[str]:
        """The version of the application."""
        return self._setting("version")

    @version.setter
    def version(self, value: Optional[str]) -> None:
        self._given["version"] = value

    @property
    def tags(self) -> "dict[str, str]":
        """What is said of the process besides."""
        return self._setting("tags")

    @tags.setter
    def tags(self, value: "dict[str, str]") -> None:
        self._given["tags"] = value

    @property
    def service_mapping(self) -> "dict[str, str]":
        """Services that are called otherwise, by the names that code gives them: ``DD_SERVICE_MAPPING``."""
        given: dict[str, Any] = object.__getattribute__(self, "_given")
        if "service_mapping" not in given:
            given["service_mapping"] = settings.pairs(os.environ.get("DD_SERVICE_MAPPING", ""))
        return given["service_mapping"]

    @service_mapping.setter
    def service_mapping(self, value: "dict[str, str]") -> None:
        self._given["service_mapping"] = value
        datadog.map_services(value)

    @property
    def traceback_frames(self) -> int:
        """Frames of an exception's stack that are kept: ``DD_TRACE_SPAN_TRACEBACK_MAX_SIZE``."""
        text = os.environ.get("DD_TRACE_SPAN_TRACEBACK_MAX_SIZE", "")
        return int(text) if text.isdigit() and int(text) > 0 else _TRACEBACK_FRAMES

    def foreign_service(self, name: Optional[str]) -> Optional[str]:
        """A service as the agent takes it: None for the process's own."""
        if name is None:
            return None
        config = current_config()
        return None if config is not None and name == config["service"] else name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        integrations: dict[str, IntegrationConfig] = object.__getattribute__(self, "_integrations")
        given: dict[str, Any] = object.__getattribute__(self, "_given")
        if name in given:
            return given[name]
        if name.startswith("_"):
            raise AttributeError(f"ddtrace.config has no {name!r} under Pitviper")
        return integrations.setdefault(name, IntegrationConfig(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            self._given[name] = value

    def _add(self, integration: str, settings: "dict[str, Any]", merge: bool = True) -> None:
        """What an application's own integration declares of itself."""
        known: IntegrationConfig = getattr(self, integration)
        for key, value in settings.items():
            if not merge or key not in known:
                known[key] = value


config = Config()
