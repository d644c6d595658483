"""Handing traces to other processes, and taking them over."""
