"""oneagent-sdk: Dynatrace's SDK for Python traces through Pitviper, unchanged.

`oneagent.initialize()` finds Pitviper's agent in place of Dynatrace's: options are accepted and mean
nothing, `sdklibname` is ignored, and `agent_state` says `ACTIVE`. What is built on the SDK, such as
autodynatrace, works as well. A tracer's span is current while the tracer runs, among all other spans of the
process, in threads and in asyncio.

Web applications, remote calls and custom services are services of their own, named as the application
named them; what happens within them is part of them. Where an instrumentation of ours serves the same
request, the SDK's tracer is a span within it, so that no request counts twice. Tags are Dynatrace's
(`FW4;…`), and headers that are passed along are read in every format that is configured.
Custom request attributes become attributes of the request's span, under their own names.

Forked children are traced whether or not the SDK was initialized as forkable. Statements lose their
literals; values of headers and parameters whose names look like secrets are not recorded.
"""

from pitviper.instrument import Integration, Patch, SpanShape

_HTTP = "http.request.method http.response.status_code error.type"
_RPC = "rpc.system rpc.service rpc.method dynatrace.service.endpoint error.type"
_MESSAGE = (
    "messaging.system messaging.destination.name messaging.destination.kind messaging.operation.name "
    "messaging.operation.type"
)
_CHANNEL = "server.address server.port network.transport"

INTEGRATION = Integration(
    "oneagent",
    distribution="oneagent-sdk",
    minimum=(1, 5),
    patches=(Patch("oneagent._impl.native.nativeagent:initialize", "initialize"),),
    spans=(
        SpanShape(
            "{method}",
            "server",
            f"{_HTTP} url.scheme url.path url.query server.address server.port client.address "
            "dynatrace.web_application.id dynatrace.web_application.context_root",
            "an incoming web request, as a service of its own",
        ),
        SpanShape("{method}", "client", f"{_HTTP} url.full server.address server.port", "an outgoing web request"),
        SpanShape("{method}", "server", _RPC, "an incoming remote call, as a service of its own"),
        SpanShape("{method}", "client", f"{_RPC} {_CHANNEL}", "an outgoing remote call"),
        SpanShape("{method}", "server", "code.function.name error.type", "a custom service, as a service of its own"),
        SpanShape(
            "{operation} {tables}",
            "client",
            "db.system.name db.namespace db.query.text db.query.summary db.operation.name "
            f"db.response.returned_rows db.client.round_trips error.type {_CHANNEL}",
            "a database request; only within something else",
        ),
        SpanShape("send {destination}", "producer", f"{_MESSAGE} messaging.message.id {_CHANNEL}", "sending a message"),
        SpanShape("receive {destination}", "client", f"{_MESSAGE} {_CHANNEL}", "waiting for a message"),
        SpanShape(
            "process {destination}",
            "consumer",
            f"{_MESSAGE} messaging.message.id messaging.message.conversation_id {_CHANNEL}",
            "processing a message, in the trace of who sent it",
        ),
        SpanShape("in-process link", "internal", "error.type", "what goes on in another thread or later"),
    ),
)
