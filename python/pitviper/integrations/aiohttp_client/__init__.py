"""aiohttp (client): a client span for each request that is sent, with the trace context sent along.

Redirects and retries are requests of their own, with `http.request.resend_count`. The span ends with the
headers of the response; a body that is streamed is the application's time. Of a websocket the span
covers the request that opens it. Attributes are those of the other HTTP clients.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._client_shape import CALL

INTEGRATION = Integration(
    "aiohttp_client",
    distribution="aiohttp",
    minimum=(3, 7),
    patches=(
        Patch("aiohttp.client:ClientSession._request", "request"),
        Patch("aiohttp.connector:BaseConnector.connect", "connect"),
        Patch("aiohttp.client_reqrep:ClientResponse.start", "start"),
    ),
    spans=(CALL,),
)
