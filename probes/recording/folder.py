"""Names new recordings in the folder of recordings."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import count
from pathlib import Path

from probes.schema.header import RunHeader

SUFFIX = ".jsonl"


def new_path(folder: Path, header: RunHeader, now: datetime) -> Path:
    """An unused name: date and time, model, setting and context."""
    words = (f"{now:%Y-%m-%d_%H-%M-%S}", header.dense.name, header.title, header.settings.follow.value)
    stem = "_".join(filter(None, map(_plain, words)))
    path = folder / f"{stem}{SUFFIX}"
    return beside(path) if path.exists() else path


def beside(path: Path) -> Path:
    """An unused name in a file's folder: the file's name with a number."""
    copies = (path.with_name(f"{path.stem}_{copy}{path.suffix}") for copy in count(2))
    return next(copy for copy in copies if not copy.exists())


def _plain(words: str) -> str:
    """The words as part of a file name on any system."""
    return re.sub(r"[^\w.+-]+", "-", words.rsplit("/", 1)[-1], flags=re.ASCII).strip("-.")[:60]
