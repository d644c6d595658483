"""Starts the span of a request for frameworks that are servers themselves, and have their own objects for it."""

from collections.abc import Mapping
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.integrations._http import host_and_port, masked_query, queue_time_ms
from pitviper.integrations._server import SERVER, ServerRequest, client_address, method_attributes
from pitviper.integrations._server_options import options


def begin(
    headers: Mapping[str, str],
    values_of: "Callable[[str], list[str]]",
    scope_name: str,
    *,
    method: str,
    scheme: str,
    path: str,
    query: str,
    client: Optional[str],
    port: Optional[int],
    version: str,
) -> ServerRequest:
    """Starts a request's span; it is not made current.

    Args:
        headers: Its headers, names in any case.
        values_of: All values of one header.
        scope_name: Name of the integration's scope.
        method: Its method.
        scheme: http or https.
        path: Its path, decoded.
        query: What follows the question mark.
        client: The address that connected.
        port: The port it connected to.
        version: HTTP's version, such as 1.1.
    """
    attributes: dict[str, object] = {}
    name = method_attributes(method, attributes)
    if headers.get("Upgrade", "").lower() == "websocket":
        name = "WEBSOCKET"
        attributes["network.protocol.name"] = "websocket"
    attributes["url.scheme"] = scheme
    attributes["url.path"] = path
    if query and options.query:
        attributes["url.query"] = masked_query(query)
    host, told = host_and_port(headers.get("Host", ""))
    if host:
        attributes["server.address"] = host
    port = told or port
    if port:
        attributes["server.port"] = port
    if options.trusted_proxies:
        forwarded, hops = ",".join(values_of("Forwarded")), ",".join(values_of("X-Forwarded-For"))
        client = client_address(forwarded, hops, options.trusted_proxies) or client
    if client:
        attributes["client.address"] = client
    agent = headers.get("User-Agent")
    if agent:
        attributes["user_agent.original"] = agent
    attributes["network.protocol.version"] = version
    if options.queue_time:
        queued = headers.get("X-Request-Start") or headers.get("X-Queue-Start")
        waited = queue_time_ms(queued, _native.now()) if queued else None
        if waited is not None:
            attributes["http.server.queue_time_ms"] = waited
    for header in options.request_headers:
        values = values_of(header.name)
        if values:
            attributes[header.attribute] = header.shown(values)
    parent = _native.extract(headers)
    return ServerRequest(_native.start_span(name, SERVER, attributes, parent, None, None, scope_name), name)


def port_of(address: Any) -> Optional[int]:
    """The port in the address of a socket; None for one in the file system."""
    return address[1] if isinstance(address, tuple) else None  # pyright: ignore[reportUnknownVariableType]


def answered(request: ServerRequest, status: int, values_of: "Callable[[str], list[str]]") -> None:
    """Notes the status and the chosen headers of the response."""
    request.answered(status)
    for header in options.response_headers:
        values: list[Any] = values_of(header.name)
        if values:
            request.span.set_attribute(header.attribute, header.shown(values))
