"""Fails when ``integrations/_index.py`` is not what its folders say."""

import importlib.util
import sys
from pathlib import Path

# Loaded by its path: the package itself needs the extension module.
_PATH = Path(__file__).resolve().parents[1] / "pitviper" / "instrument" / "generate.py"
_spec = importlib.util.spec_from_file_location("generate", _PATH)
assert _spec is not None and _spec.loader is not None
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)

if generate.index_path().read_text(encoding="utf-8") != generate.index_text():
    print("integrations/_index.py is stale; run: python -m pitviper.instrument.generate", file=sys.stderr)
    sys.exit(1)
