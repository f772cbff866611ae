"""Runs a sweep for `phier sweep`: shows the cells that are done, running and failed, and says how to go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from explorer.cli.progress_bar import Bar
from explorer.cli.sweep_table import print_cells, print_sweep, result_line, sweep_object
from explorer.words.token_text import flowing
from probes.schema.events import WorkProgressed
from probes.schema.sweep import Cell, SweepPlan, SweepProgress

if TYPE_CHECKING:
    from probes.sweep.jobs import Workers


def run_in_shell(plan: SweepPlan, path: Path, workers: Workers, json: bool, export_to: Path | None = None) -> None:
    """Runs a sweep, and prints its table. A person who stops it is told how to go on."""
    from explorer.cli.live_table import print_json
    from probes.sweep.curves import results_by_key
    from probes.sweep.plan_check import check_plan

    errors = Console(stderr=True)

    def say(line: str) -> None:
        errors.print(line, markup=False, highlight=False, soft_wrap=True)

    with Bar(errors) as bar:
        check_plan(plan, bar.work)
        from probes.sweep.sweep import SWEEPING, prepare_sweep, run_sweep
        from probes.sweep.sweep_file import read_sweep

        prepared = prepare_sweep(plan, workers, bar.work)
        for note in prepared.notes:
            say(note)

        def tell(progress: SweepProgress) -> None:
            done = progress.done + progress.failed + sum(share for _, share in progress.running)
            bar.show(WorkProgressed(SWEEPING, done, progress.of, "cells"))

        try:
            for result in run_sweep(prepared, path, workers, tell=tell):
                say(result_line(result))
        except KeyboardInterrupt:
            say(f"Stopped. phier sweep {flowing(str(path))} goes on.")
            raise
    found = read_sweep(path)
    if json:
        print_json(sweep_object(found))
    else:
        print_sweep(found, Console())
        click.echo(f"The sweep is in {flowing(str(path))}.", err=True)
    if export_to is not None:
        from explorer.recordings.export.sweep_export import export_sweep, written_sentence

        click.echo(written_sentence(export_sweep(found, export_to)), err=True)
    by_key = results_by_key(found)
    if any(by_key[str(cell.key)].error for cell in found.header.cells if str(cell.key) in by_key):
        raise click.exceptions.Exit(1)


def check_sweep(plan: SweepPlan, path: Path, workers: Workers, json: bool) -> None:
    """Prints the cells of a plan and which are known, and computes nothing."""
    from explorer.cli.live_table import print_json
    from probes.sweep.curves import results_by_key
    from probes.sweep.plan_check import check_plan

    with Bar(Console(stderr=True)) as bar:
        check_plan(plan, bar.work)
        from probes.sweep.sweep import prepare_sweep
        from probes.sweep.sweep_file import read_sweep

        prepared = prepare_sweep(plan, workers, bar.work)
        known = results_by_key(read_sweep(path)) if path.exists() else {}
    cells = [one.cell for one in prepared.cells]
    there = [str(cell.key) in known and known[str(cell.key)].error is None for cell in cells]
    if json:
        print_json({"cells": [{**_plain(cell), "known": it} for cell, it in zip(cells, there, strict=True)]})
        return
    print_cells(cells, there, Console())
    for note in prepared.notes:
        click.echo(note, err=True)


def _plain(cell: Cell) -> dict[str, object]:
    return {**asdict(cell), "key": str(cell.key)}
