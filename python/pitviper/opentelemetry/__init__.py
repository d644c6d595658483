"""The agent behind OpenTelemetry's API."""
