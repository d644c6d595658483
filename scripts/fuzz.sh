#!/usr/bin/env bash
# Feeds parsers and decoders with random input for at least so many seconds: fuzz.sh [SECONDS [CRATE...]]
#
# The same properties as in `make test`, with twice as many cases each round; of all crates, or of those that are
# named. `nice -n 19 scripts/fuzz.sh 3600 pitviper-wire pitviper-pprof` is an hour of decoders beside other work.
# What fails is shrunk and printed; make it a test of its own.
set -eu
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
packages=(--workspace)
if [ $# -gt 0 ]; then
    # A crate by itself would be built without what others ask of it: the wire without its decoders.
    packages=(--all-features)
    for crate in "$@"; do packages+=(-p "$crate"); done
fi
cases=1000
properties='test(hostile) or binary(hostile) or binary(mutated) or test(any_text) or test(language_like)
    or test(reads_back) or test(page_index) or test(json::tests) or test(makes_it_panic)'
cargo nextest run --release --locked --no-run "${packages[@]}"
SECONDS=0
until [ "$SECONDS" -ge "$seconds" ]; do
    echo "== after $SECONDS s: $cases cases of each property"
    PROPTEST_CASES=$cases cargo nextest run --release --locked "${packages[@]}" --status-level fail -E "$properties"
    cases=$((cases * 2))
done
