"""Names of tags and values of decisions that applications use."""

ENV_KEY = "env"
VERSION_KEY = "version"
SERVICE_KEY = "service.name"
SERVICE_VERSION_KEY = "service.version"
SPAN_KIND = "span.kind"

MANUAL_DROP_KEY = "manual.drop"
MANUAL_KEEP_KEY = "manual.keep"

ERROR_MSG = "error.message"
ERROR_TYPE = "error.type"
ERROR_STACK = "error.stack"

PID = "process_id"

APPSEC_ENV = "DD_APPSEC_ENABLED"
IAST_ENV = "DD_IAST_ENABLED"

#: The application does not want a trace.
USER_REJECT = -1
#: The sampler does not.
AUTO_REJECT = 0
#: The sampler wants it.
AUTO_KEEP = 1
#: The application does.
USER_KEEP = 2
