"""The results file beside a recording, which says for which tasks the recorded setting is safe."""

from __future__ import annotations

import json
from pathlib import Path

from explorer.sources.kept_results import kind_of_file
from probes.schema.header import RunHeader


def results_beside(recording: Path) -> Path:
    """The place of a recording's results: NAME.results.jsonl beside NAME.jsonl."""
    return recording.with_name(f"{recording.stem}.results.jsonl")


def belong_together(results: Path, header: RunHeader) -> bool:
    """Is it a results file, of the weights and the setting that were recorded?"""
    if kind_of_file(results) != "results":
        return False
    with results.open(encoding="utf-8", errors="replace") as file:
        first = json.loads(file.readline())
    depends_on = first.get("depends_on")
    weights = depends_on.get("dense weights") if isinstance(depends_on, dict) else None
    return bool(weights) and weights == header.dense.fingerprint and first.get("setting") == header.title
