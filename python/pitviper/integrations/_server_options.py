"""The options of everything that serves HTTP; the integrations ``wsgi`` and ``asgi`` declare them."""

import os
import re
from collections.abc import Mapping

from pitviper._guard import say
from pitviper.settings import Setting, count, flag, names, resolve

#: The keys of what every request's span has, for the reference.
ATTRIBUTES = (
    "http.request.method http.request.method_original url.scheme url.path url.query http.route "
    "http.response.status_code server.address server.port client.address user_agent.original "
    "network.protocol.version http.server.queue_time_ms http.request.header.{name} "
    "http.response.header.{name} error.type"
)


def header_names(value: str) -> "list[str]":
    """Names of headers, separated by commas. What follows a colon is how Datadog names the tag, and left out."""
    return [name.partition(":")[0].strip() for name in names(value)]


OPTIONS = (
    Setting(
        "request_headers",
        [],
        header_names,
        "PITVIPER_HTTP_REQUEST_HEADERS OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST DD_TRACE_HEADER_TAGS",
        "Request headers to record, separated by commas, as `http.request.header.{name}`.",
    ),
    Setting(
        "response_headers",
        [],
        header_names,
        "PITVIPER_HTTP_RESPONSE_HEADERS OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE DD_TRACE_HEADER_TAGS",
        "Response headers to record, separated by commas, as `http.response.header.{name}`.",
    ),
    Setting(
        "sensitive_headers",
        False,
        flag,
        "PITVIPER_HTTP_SENSITIVE_HEADERS",
        "Whether recorded headers that carry secrets, such as `authorization` and `cookie`, keep their values.",
    ),
    Setting(
        "query",
        True,
        flag,
        "PITVIPER_HTTP_QUERY",
        "Whether `url.query` is recorded; values of parameters that look like secrets never are.",
    ),
    Setting(
        "trusted_proxies",
        0,
        count,
        "PITVIPER_HTTP_TRUSTED_PROXIES",
        "How many proxies of yours stand before the server. `client.address` is then the address that the "
        "outermost of them added to `Forwarded` or `X-Forwarded-For`; what a client put there itself does not "
        "count. 0: the address that connected.",
    ),
    Setting(
        "queue_time",
        True,
        flag,
        "PITVIPER_HTTP_QUEUE_TIME",
        "Whether the milliseconds since the time in `X-Request-Start` or `X-Queue-Start` are recorded as "
        "`http.server.queue_time_ms`. Times in the future or more than an hour ago are clocks that differ, and "
        "are left out.",
    ),
)

#: Headers whose values are secrets, unless the option says otherwise.
_SENSITIVE = re.compile(r"auth|cookie|secret|token|api-?key|password|passwd|session|signature|credential|csrf|xsrf")

#: What is recorded in the place of a secret.
_MASK = "***"


class Header:
    """A header that is recorded."""

    __slots__ = ("attribute", "environ_key", "masked", "name", "raw")

    def __init__(self, name: str, direction: str, keep_sensitive: bool) -> None:
        #: Its name in lower case.
        self.name = name.lower()
        #: The same as bytes, as ASGI has it.
        self.raw = self.name.encode("latin-1", "replace")
        upper = self.name.upper().replace("-", "_")
        #: Its key in a WSGI environ.
        self.environ_key = upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + upper
        #: The key of its attribute.
        self.attribute = f"http.{direction}.header.{self.name}"
        #: Whether its value is kept to itself.
        self.masked = not keep_sensitive and _SENSITIVE.search(self.name) is not None

    def shown(self, values: "list[str]") -> "list[str]":
        """The values as they are recorded."""
        return [_MASK] * len(values) if self.masked else values


class Options:
    """The options' values, prepared for use."""

    __slots__ = ("query", "queue_time", "reads_more", "request_headers", "response_headers", "trusted_proxies")

    query: bool
    queue_time: bool
    trusted_proxies: int
    request_headers: "list[Header]"
    response_headers: "list[Header]"
    #: Whether more of the request's headers is read than every request is looked through for.
    reads_more: bool

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.load(environ)

    def load(self, environ: Mapping[str, str]) -> None:
        """Takes the values that these variables give."""
        resolved = {setting.name: resolve(setting, environ) for setting in OPTIONS}
        for result in resolved.values():
            for problem in result.problems:
                say(problem)
        values = {name: result.value for name, result in resolved.items()}
        keep = values["sensitive_headers"]
        self.query = values["query"]
        self.queue_time = values["queue_time"]
        self.trusted_proxies = values["trusted_proxies"]
        self.request_headers = [Header(name, "request", keep) for name in values["request_headers"]]
        self.response_headers = [Header(name, "response", keep) for name in values["response_headers"]]
        self.reads_more = bool(self.trusted_proxies or self.request_headers)


#: The values of this process, as the environment had them at the start.
options = Options(os.environ)
