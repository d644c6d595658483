#!/usr/bin/env bash
# Measures the store and its peers on the same spans: run.sh [MILLIONS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache="$HOME/.cache/pitviper"
tools="$cache/bench-store"
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
[ -x "$tools/bin/python" ] || "$cache/tools/bin/python" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
{
	"${CARGO_TARGET_DIR:-$cache/target}/release/pitviper-bench-store" "${1:-20}" "$data"
	echo
	"$tools/bin/python" "$here/peers.py" "$data"
} | tee "$here/results.md"
