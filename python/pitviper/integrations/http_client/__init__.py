"""http.client: a client span for each request that no library above traces, such as `urllib.request`.

The trace context is sent along. requests, urllib3 and botocore, which use http.client, have spans of
their own. The span ends with the headers of the response.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._client_shape import CALL

INTEGRATION = Integration(
    "http_client",
    patches=(
        Patch("http.client:HTTPConnection.putrequest", "putrequest"),
        Patch("http.client:HTTPConnection.endheaders", "endheaders"),
        Patch("http.client:HTTPConnection.getresponse", "getresponse"),
        Patch("http.client:HTTPConnection.close", "close"),
    ),
    spans=(CALL,),
)
