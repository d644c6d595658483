"""A program that makes one span: run as ``python -m child`` by patterns."""

import pitviper

pitviper.tracer.start_span("child").end()
