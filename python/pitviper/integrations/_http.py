"""What HTTP integrations share: masking, addresses.

Attribute names are OpenTelemetry's stable HTTP conventions (1.23 and later).
"""

from pitviper import _native

masked_query = _native.masked_query
masked_url = _native.masked_url


def host_and_port(host: str) -> "tuple[str, int | None]":
    """Splits ``host:port``; the port is None when it is not said."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    else:
        name, _, port = host.partition(":")
    return name, int(port) if port.isdigit() else None
