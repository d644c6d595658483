"""Importing this module starts the agent: ``import pitviper.auto`` as the application's first line."""

from pitviper.bootstrap import init

init()
