"""OpenTelemetry's API: under this agent its tracers are the agent's own, with or without this provider."""

from pitviper.opentelemetry import TracerProvider

__all__ = ["TracerProvider"]
