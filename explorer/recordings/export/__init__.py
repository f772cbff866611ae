"""Exports recordings, results and sweeps as tables, as figures for print, or as a page that needs no program."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.sources.chosen import Chosen, chosen, read_recording
from explorer.sources.kept_results import kind_of_file
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput, Failure
from probes.system.collector import collector_at_rest
from probes.system.files import replacing

TABLE_FORMATS = ("csv", "parquet", "jsonl")
FIGURE_FORMATS = ("svg", "png", "pdf")
EXPORT_FORMATS = (*TABLE_FORMATS, *FIGURE_FORMATS, "html")
"""The formats of an export."""


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export."""

    paths: tuple[Path, ...]
    """The files that were written."""
    notes: tuple[str, ...]
    """Sentences on figures that are not comparable, on what is missing and why, and on what could not be read."""


@collector_at_rest()
def export_recordings(
    recordings: Sequence[Chosen | Path | str],
    to: str,
    out: Path | str | None = None,
    *,
    every: bool = False,
    figures: Sequence[str] = (),
    own: bool = False,
    caption: bool = True,
) -> Exported:
    """Exports recordings to one of `EXPORT_FORMATS`, several of them into the same tables, figures or page; or one file
    of results or of a sweep.

    `out` is a folder (one that is there, or a text that ends in a slash), or a file whose name without its ending all
    files begin with; the working folder and the recordings' names unless given. Tables hold the path that was
    shown last, or with `every` each step on any branch of any run. `figures` picks some by name
    (`matplotlib_figures.FIGURE_NAMES`); `own` draws each model on its own context in place of the shared one;
    `caption` puts a caption under each. Raises `BadInput` if an option can't be met or has no effect on the format, and
    `Failure` if a file can't be written. A file is written as a whole or not at all.
    """
    if to not in EXPORT_FORMATS:
        raise BadInput("Export", f"{to!r} is not a format.", f"Use one of: {', '.join(EXPORT_FORMATS)}.")
    if not recordings:
        raise BadInput("Export", "No recording is named.", "Name a file.")
    _useful(to, every=every, figures=figures, own=own, caption=caption)
    kinds = {one.path: kind_of_file(one.path) for one in map(chosen, recordings)}
    if other := next((path for path, kind in kinds.items() if kind in _NOT_RECORDED), None):
        if len(recordings) > 1:
            sentence = f"{flowing(str(other))} holds {_NOT_RECORDED[kinds[other]]}, not a recorded run."
            raise BadInput("Export", sentence, "Export it alone.")
        return _export_other(chosen(recordings[0]), to, out, recorded=every or own or figures or not caption)
    opened = [read_recording(one) for one in recordings]
    for recording in opened:
        if not recording.run.path:
            raise BadInput(
                "Nothing to export", f"{flowing(str(recording.path))} holds no step.", "Choose another recording."
            )
    notes = [flowing(f"{recording.path.name}: {note}") for recording in opened for note in recording.notes]
    notes = list(dict.fromkeys(notes))  # one file may be given twice, for two of its runs
    if to in TABLE_FORMATS:
        from explorer.recordings.export.table_files import WRITERS
        from explorer.recordings.export.tables import tables

        files = {table.name: WRITERS[to](table) for table in tables(opened, every=every)}
    elif to in FIGURE_FORMATS:
        from explorer.recordings.export.matplotlib_figures import draw

        files, more = draw(opened, to, names=figures, own=own, caption=caption)
        notes += more
    else:
        from explorer.recordings.export.page import page
        from explorer.recordings.export.several import unlike

        files = {"page": page(opened)}
        notes += unlike(opened)
    stem = _stem([chosen(one).stem for one in recordings], out, to)
    written = _written(files, stem, to, [recording.path for recording in opened])
    return Exported(written, tuple(notes))


_NOT_RECORDED: Mapping[object, str] = {"results": "the results of items", "sweep": "a sweep"}
"""What files hold that are exported without being recordings, by the kind that they name."""


def _export_other(which: Chosen, to: str, out: Path | str | None, *, recorded: object) -> Exported:
    """Exports the results of items, or a sweep."""
    from explorer.recordings.export.results_export import results_files, sweep_file

    kind = kind_of_file(which.path)
    holds = f"{flowing(str(which.path))} holds {_NOT_RECORDED[kind]}"
    if which.run is not None:
        raise BadInput("Export", f"{holds}, and no runs.", f"Leave out #{which.run}.")
    if recorded:
        what = "--every, --own, --figures and --no-caption are for recordings."
        raise BadInput("Export", f"{holds}. {what}", "Leave them out.")
    stem = _stem([which.stem], out, to)
    if kind == "sweep":
        target = stem.with_name(f"{stem.name}{'.cells' if to in TABLE_FORMATS else ''}.{to}")
        _spare([which.path], [target])
        return Exported(sweep_file(which.path, target, to), ())
    files, note = results_files(which.path, to)
    return Exported(_written(files, stem, to, [which.path]), (note,))


def _written(files: Mapping[str, bytes], stem: Path, to: str, read: Sequence[Path]) -> tuple[Path, ...]:
    """Writes the files, none of them over a file that was read, and returns where they are."""
    alone = len(files) == 1 and to not in TABLE_FORMATS
    targets = {name: stem.with_name(f"{stem.name}.{to}" if alone else f"{stem.name}.{name}.{to}") for name in files}
    _spare(read, targets.values())
    for name, target in targets.items():
        _write(target, files[name])
    return tuple(targets.values())


def _useful(to: str, *, every: bool, figures: Sequence[str], own: bool, caption: bool) -> None:
    """Refuses an option that has no effect on this format."""
    for given, option, formats in (
        (every, "--every", TABLE_FORMATS),
        (bool(figures), "--figures", FIGURE_FORMATS),
        (own, "--own", FIGURE_FORMATS),
        (not caption, "--no-caption", FIGURE_FORMATS),
    ):
        if given and to not in formats:
            kind = "tables" if formats is TABLE_FORMATS else "figures"
            raise BadInput(
                "Export",
                f"{option} is for {kind} and has no effect on {to}.",
                f"Leave it out, or export to {', '.join(formats[:-1])} or {formats[-1]}.",
            )


def _stem(names: Sequence[str], out: Path | str | None, to: str) -> Path:
    """The folder of the files and the beginning of their names: the recordings' names, unless `out` has another."""
    name = "+".join(names)
    if len(name) > _LONGEST_NAME:
        name = f"{names[0][:_LONGEST_NAME]}+{len(names) - 1}-more"
    if out is None:
        return Path(name)
    if os.path.isdir(out) or str(out).endswith(("/", os.sep)):  # a Path has lost such an end
        return Path(out) / name
    out = Path(out)
    return out.with_name(out.name.removesuffix(f".{to}"))


_LONGEST_NAME = 120
"""Characters of the recordings' names in that of a file made of them."""


def _spare(recordings: Sequence[Path], targets: Iterable[Path]) -> None:
    """Refuses to overwrite a recording."""
    for target in targets:
        if os.path.exists(target) and any(target.samefile(recording) for recording in recordings):
            raise BadInput(
                "Export", f"{flowing(str(target))} is the file to export itself.", "Give another name with --out."
            )


def _write(target: Path, content: bytes) -> None:
    """Writes the file as a whole, so that nobody ever reads half of it."""
    try:
        with replacing(target) as part:
            part.write_bytes(content)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise Failure(
            "Can't write", f"{flowing(str(target))} can't be written: {reason}.", "Choose another place."
        ) from problem
