"""The commands on recordings: `phier recordings`, `phier compare`, `phier export`. None of them needs a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from explorer.cli.options import ShellCommand, Typed, argument, option
from probes.schema.foreign_text import visible

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _files(function: _Function) -> _Function:
    return argument("files", nargs=-1, required=True, help="Recordings: FILE is its last run, FILE#2 its second one.")(
        function
    )


@click.command("recordings", cls=ShellCommand)
@argument("words", nargs=-1, help="Words to search for, all of which must occur; or a file.")
def recordings_command(_typed: Typed, words: tuple[str, ...]) -> None:
    """List the recorded runs, newest first, or the runs of a file."""
    from rich.console import Console

    from explorer.cli.recordings_table import print_recordings
    from explorer.recordings.library import matching, recordings, runs_of
    from explorer.recordings.shipped import shipped_folder
    from explorer.words.token_text import quoted
    from probes.recording import recordings_folder

    wanted = " ".join(words)
    named = Path(wanted) if len(words) == 1 else None
    if named is not None and named.is_file():
        found = runs_of(named)
    else:
        found = matching(recordings(recordings_folder(), shipped_folder()), wanted)
    if not found:
        click.echo(f"No recording matches {quoted(wanted)}." if wanted else "There is no recording yet.")
        return
    print_recordings(found, Console())


@click.command("compare", cls=ShellCommand)
@_files
@option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def compare_command(_typed: Typed, files: tuple[str, ...], json: bool) -> None:
    """Compare recordings of one prompt, figure by figure."""
    from rich.console import Console

    from explorer.cli.comparison_table import compared_object, print_compared
    from explorer.cli.live_table import print_json
    from explorer.recordings.comparison import compare_recordings

    found = compare_recordings(files)
    if json:
        print_json(compared_object(found))
    else:
        print_compared(found, Console())


@click.command("export", cls=ShellCommand)
@_files
@option("--to", required=True, help="csv, parquet, jsonl, svg, png, pdf or html.")
@option("--out", help="A folder (its name ends in /), or the beginning of the files' names.")
@option("--every", is_flag=True, help="csv, parquet, jsonl: all branches and runs instead of the last path.")
@option("--own", aliases=("total",), is_flag=True, help="svg, png, pdf: the figures of each model on its own context.")
@option("--figures", multiple=True, help="svg, png, pdf: only these figures; may be repeated.")
@option("--caption/--no-caption", default=True, help="svg, png, pdf: a caption under each figure. [default: caption]")
def export_command(
    _typed: Typed,
    files: tuple[str, ...],
    to: str,
    out: str | None,
    every: bool,
    own: bool,
    figures: tuple[str, ...],
    caption: bool,
) -> None:
    """Export recordings as tables, as figures, or as one page. So are a results file and a sweep's file, each alone."""
    from explorer.recordings.export import export_recordings

    found = export_recordings(files, to, out or None, every=every, own=own, figures=figures, caption=caption)
    for path in found.paths:
        click.echo(visible(str(path)))
    for note in found.notes:
        click.echo(note, err=True)
