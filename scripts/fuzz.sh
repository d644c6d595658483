#!/usr/bin/env bash
# Feeds parsers and decoders with random input for at least so many seconds: fuzz.sh [SECONDS]
#
# The same properties as in `make test`, with twice as many cases each round. What fails is shrunk and
# printed; make it a test of its own.
set -eu
seconds=${1:-60}
cases=1000
properties='test(hostile) or binary(hostile) or test(any_text) or test(language_like) or test(reads_back)
    or test(page_index) or test(json::tests) or test(makes_it_panic)'
cargo nextest run --release --locked --no-run --workspace
SECONDS=0
until [ "$SECONDS" -ge "$seconds" ]; do
    echo "== $cases cases of each property"
    PROPTEST_CASES=$cases cargo nextest run --release --locked --workspace --status-level fail -E "$properties"
    cases=$((cases * 2))
done
