#!/usr/bin/env bash
# Runs a step under a heading and says how long it took: section.sh TITLE COMMAND...
set -u
title=$1
shift
printf '\n== %s\n' "$title"
began=$SECONDS
"$@"
status=$?
if [ "$status" -ne 0 ]; then
    printf '== %s FAILED (exit %d) after %d s: %s\n' "$title" "$status" "$((SECONDS - began))" "$*"
    exit "$status"
fi
printf '== %s: done in %d s\n' "$title" "$((SECONDS - began))"
