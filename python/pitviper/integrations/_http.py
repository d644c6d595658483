"""What HTTP integrations share: masking, addresses.

Attribute names are OpenTelemetry's stable HTTP conventions (1.23 and later).
"""

from pitviper import _native

masked_query = _native.masked_query
masked_url = _native.masked_url
host_and_port = _native.host_and_port
queue_time_ms = _native.queue_time_ms
