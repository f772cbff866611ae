"""Several recordings in one export: their names, and why their figures are not comparable."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from explorer.recordings.comparison import compare_runs
from explorer.sources.chosen import Chosen, chosen
from explorer.words.token_text import flowing
from probes.recording import Recording
from probes.schema.foreign_text import visible


def unlike(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The warnings of `phier compare`: other prompts, dense models, analysis temperatures."""
    if len(recordings) < 2:
        return ()
    compared = compare_runs([recording.path for recording in recordings], [recording.run for recording in recordings])
    return tuple(flowing(warning) for warning in compared.warnings)


def names_of(recordings: Sequence[Chosen | Path]) -> list[str]:
    """A name for each recording that no other has: the file's, and as much of its folders as it takes.

    Files that differ by their endings alone keep these; a chosen run has its number; one given twice is numbered.
    """
    which = [chosen(one) for one in recordings]
    places = [Path(os.path.abspath(one.path)) for one in which]
    names = [
        visible(str(Chosen(Path(_name(place, [other for other in places if other.stem == place.stem])), one.run)))
        for place, one in zip(places, which, strict=True)
    ]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]


def _name(place: Path, namesakes: Sequence[Path]) -> str:
    """The shortest end of its path that is no other namesake's."""
    others = [other for other in namesakes if other != place]
    last = place.stem
    if any(other.parent == place.parent for other in others):
        last = place.name
        others = [other for other in others if other.name == last]
    folders = place.parent.parts
    for depth in range(len(folders)):
        kept = folders[len(folders) - depth :]
        if all(other.parent.parts[len(other.parent.parts) - depth :] != kept for other in others):
            return "/".join((*kept, last))
    return "/".join((*folders[1:], last))
