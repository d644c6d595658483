"""requests: a client span for each request that is sent, with the trace context sent along.

Each redirect that is followed is a request of its own, with `http.request.resend_count`. The span of
the last one includes its body when requests reads it. `url.full` has no credentials and no values of
parameters that look like secrets. A status of 400 and above is a failed call.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations._client_shape import CALL

INTEGRATION = Integration(
    "requests",
    distribution="requests",
    minimum=(2, 0),
    patches=(
        Patch("requests.sessions:Session.send", "send"),
        Patch("requests.sessions:SessionRedirectMixin.rebuild_method", "rebuild_method", optional=True),
    ),
    spans=(CALL,),
)
