"""Names of tags about Consul."""

APP = "consul"
SERVICE = "consul"
CMD = "consul.command"
KEY = "consul.key"
