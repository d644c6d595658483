#!/usr/bin/env bash
# Measures what the server takes in over each protocol: run.sh [SECONDS] [CONNECTIONS]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries="${CARGO_TARGET_DIR:-$HOME/.cache/pitviper/target}/release"
{
	echo "# Results"
	for wire in otlp grpc datadog; do
		echo
		"$binaries/pitviper-bench-ingest" "$binaries/pitviper-server" "${1:-60}" "${2:-8}" "$wire"
	done
} | tee "$here/results.md.new"
mv "$here/results.md.new" "$here/results.md"
