"""Generators of trace and span ids."""

import random


class IdGenerator:
    """Draws ids; subclasses of the application's may derive them from something."""

    def generate_span_id(self) -> int:
        """A span id of 64 bits, not zero."""
        raise NotImplementedError

    def generate_trace_id(self) -> int:
        """A trace id of 128 bits, not zero."""
        raise NotImplementedError

    def is_trace_id_random(self) -> bool:
        """Whether the low 56 bits of trace ids are random, as W3C's flag promises."""
        return False


class RandomIdGenerator(IdGenerator):
    """Random ids. A provider that is given none draws them natively, and faster."""

    def generate_span_id(self) -> int:
        return random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return True
