"""The commands on recordings: `phier sessions`, `phier compare`, `phier export`. None of them needs a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from explorer.cli.exits import exit_on_error
from explorer.cli.given import refuse_empty
from probes.schema.foreign_text import visible

Files = Annotated[
    list[str], typer.Argument(help="Recordings: FILE is its last run, FILE#2 its second.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


_PROMPT = 40
"""Cells of a prompt in the list."""


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(sessions)
    app.command()(compare)
    app.command()(export)


def sessions(
    words: Annotated[list[str] | None, typer.Argument(help="Words that all must occur, or a file.")] = None,
) -> None:
    """Lists the recorded runs, newest first; of a file that is named, its runs."""
    with exit_on_error():
        from rich.table import Table
        from rich.text import Text

        from explorer.recordings.library import matching, recordings, runs_of
        from explorer.recordings.shipped import shipped_folder
        from explorer.words.token_text import fit, flowing, quoted
        from probes.recording import sessions_folder

        wanted = " ".join(words or ())
        named = Path(wanted) if words and len(words) == 1 else None
        if named is not None and named.is_file():
            found = runs_of(named)
        else:
            found = matching(recordings(sessions_folder(), shipped_folder()), wanted)
        if not found:
            typer.echo(f"No recording matches {quoted(wanted)}." if wanted else "There is no recording yet.")
            return
        table = Table(box=None, pad_edge=False)
        for title in (
            "recorded",
            "models",
            "setting",
            "context",
            "steps",
            "ΣKL",
            "survival",
            "split",
            "prompt",
            "file",
        ):
            table.add_column(title, no_wrap=True)
        for one in found:
            cells = (
                f"{one.when:%Y-%m-%d %H:%M}",
                one.models,
                one.setting,
                one.header.settings.follow.value,
                one.problem or str(one.steps),
                "" if one.problem else f"{one.kl:.3g}",
                "" if one.problem else f"{one.survival:.2g}",
                "" if one.problem else str(one.first_split or "never"),
                fit(one.prompt_line, _PROMPT).rstrip(),
                str(one.chosen),
            )
            table.add_row(*(Text(flowing(cell)) for cell in cells))
        # As wide as it is: a path that is broken over lines could not be copied.
        width = Console(width=10_000).measure(table).maximum
        Console(width=max(width, Console().width)).print(table)


def compare(files: Files, json: Json = False) -> None:
    """Lays two or more recordings of one prompt side by side."""
    with exit_on_error():
        from explorer.cli.comparison_table import compared_object, print_compared
        from explorer.cli.live_table import print_json
        from explorer.recordings.comparison import compare_recordings

        found = compare_recordings(files)
        if json:
            print_json(compared_object(found))
        else:
            print_compared(found, Console())


def export(
    context: typer.Context,
    files: Files,
    to: Annotated[str, typer.Option(help="csv, parquet, jsonl, svg, png, pdf or html.")],
    out: Annotated[str, typer.Option(help="A folder (its name ends in /), or how the files' names begin.")] = "",
    every: Annotated[
        bool, typer.Option("--every", help="For csv, parquet, jsonl: all branches and runs, not the last path.")
    ] = False,
    total: Annotated[
        bool, typer.Option("--total", help="For svg, png, pdf: figures of each model on its own context.")
    ] = False,
    figures: Annotated[
        list[str] | None, typer.Option(help="For svg, png, pdf: only these figures; may be repeated.")
    ] = None,
    caption: Annotated[bool, typer.Option(help="For svg, png, pdf: a caption under each figure.")] = True,
) -> None:
    """Turns recordings into tables, figures for print, or a page that opens offline."""
    with exit_on_error():
        refuse_empty(context)
        from explorer.recordings.export import export_recordings

        found = export_recordings(
            files, to, out or None, every=every, total=total, figures=figures or (), caption=caption
        )
        for path in found.paths:
            typer.echo(visible(str(path)))
        for note in found.notes:
            typer.echo(note, err=True)
