"""Watches an asyncio event loop while it runs."""

from pitviper.integrations._event_loop import run_forever

__all__ = ["run_forever"]
