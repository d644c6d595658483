"""What HTTP integrations share: masking, addresses, status.

Attribute names are OpenTelemetry's stable HTTP conventions (1.23 and later).
"""

import re

#: Query parameters whose values are never recorded.
_SENSITIVE = re.compile(
    r"(?i)((?:^|&|;|\?)[^=&;]*(?:pass|secret|token|api_?key|auth|signature|credential|session|sig)[^=&;]*=)[^&;#]*"
)

#: Longest URL or query that is recorded, in characters.
MAX_URL = 2_048


def masked_query(query: str) -> str:
    """A query string without the values of parameters that look like secrets."""
    return _SENSITIVE.sub(r"\1***", query[:MAX_URL])


def masked_url(url: str) -> str:
    """A URL without credentials, fragment, and the values of parameters that look like secrets."""
    url = url[:MAX_URL].partition("#")[0]
    scheme, separator, rest = url.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        if "@" in authority:
            url = f"{scheme}://***@{authority.rpartition('@')[2]}{slash}{path}"
    return _SENSITIVE.sub(r"\1***", url) if "=" in url else url


def host_and_port(host: str) -> "tuple[str, int | None]":
    """Splits ``host:port``; the port is None when it is not said."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else ""
    else:
        name, _, port = host.partition(":")
    return name, int(port) if port.isdigit() else None


def hosts_error(status: int) -> bool:
    """Whether a status that a client got counts as a failure of the call."""
    return status >= 400
