"""urllib3: a client span for each call, retries and redirects included, with the trace context sent.

A call that requests (or another traced client) makes through urllib3 is that client's span. Span and
attributes are those of the integration ``requests``.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "urllib3",
    distribution="urllib3",
    minimum=(1, 25),
    patches=(Patch("urllib3.connectionpool:HTTPConnectionPool.urlopen", "urlopen"),),
)
