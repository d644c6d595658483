"""``import ddtrace.auto``: starts the agent and instruments everything, unless that has happened."""

from pitviper import bootstrap

if not bootstrap.is_started():
    bootstrap.init()
