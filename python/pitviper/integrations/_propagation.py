"""How carriers of contexts write the names of headers, for ``_native.extract`` and ``_native.inject_into``."""

#: As headers: ``traceparent``.
HEADERS = 0
#: As WSGI's environ has them: ``HTTP_TRACEPARENT``.
ENVIRON = 1
#: As variables of a process: ``TRACEPARENT``.
VARIABLES = 2
