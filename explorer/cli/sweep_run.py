"""Runs a sweep for `phier sweep`: shows the cells that are done, running and failed, and says how to go on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from explorer.cli.progress_bar import Bar
from explorer.cli.sweep_progress import SweepBar, estimate_sentence
from explorer.cli.sweep_table import print_cells, print_sweep, result_line, sweep_object
from explorer.words.token_text import flowing
from probes.schema.sweep import Cell, Sweep, SweepPlan

if TYPE_CHECKING:
    from probes.sweep.jobs import Workers
    from probes.sweep.sweep import PreparedSweep


def run_in_shell(plan: SweepPlan, path: Path, workers: Workers, json: bool, export_to: Path | None = None) -> None:
    """Runs a sweep, and prints its table. A person who stops it is told how to go on."""
    from probes.sweep.curves import results_by_key
    from probes.sweep.sweep_file import check_sweep_file, read_sweep

    errors = Console(stderr=True)
    threads = check_sweep_file(path, plan.load.threads)
    prepared = _prepared(plan, workers, errors)
    from probes.sweep.sweep import run_sweep

    estimate = prepared.estimate(path, len(workers.names))
    with SweepBar(errors) as bar:
        for note in prepared.notes:
            bar.say(note)
        if threads and prepared.dense.threads not in (0, threads):
            bar.say(f"Computing with {threads} thread{'s' * (threads > 1)}, as the sweep began.")
        if estimate.cells:
            bar.say(estimate_sentence(estimate, len(prepared.cells)))
        try:
            for result in run_sweep(prepared, path, workers, tell=bar.show):
                bar.say(result_line(result))
        except KeyboardInterrupt:
            bar.say(f"Stopped. phier sweep {flowing(str(path))} goes on.")
            raise
    found = read_sweep(path)
    _print(found, path, json, export_to)
    by_key = results_by_key(found)
    if any(by_key[str(cell.key)].error for cell in found.header.cells if str(cell.key) in by_key):
        raise click.exceptions.Exit(1)


def print_complete(path: Path, json: bool, export_to: Path | None) -> bool:
    """Prints the table of a sweep's file if nothing of its own plan is left to compute, without loading a model;
    returns whether it did."""
    from probes.sweep.curves import results_by_key
    from probes.sweep.sweep_file import check_sweep_file, read_sweep

    check_sweep_file(path, 0)
    found = read_sweep(path)
    by_key = results_by_key(found)
    there = [by_key.get(str(cell.key)) for cell in found.header.cells]
    if not all(one is not None and one.error is None for one in there):
        return False
    _print(found, path, json, export_to)
    return True


def _print(found: Sweep, path: Path, json: bool, export_to: Path | None) -> None:
    from explorer.cli.live_table import print_json

    if json:
        print_json(sweep_object(found))
    else:
        print_sweep(found, Console())
        click.echo(f"The sweep is in {flowing(str(path))}.", err=True)
    if export_to is not None:
        from explorer.recordings.export.sweep_export import export_sweep, written_sentence

        click.echo(written_sentence(export_sweep(found, export_to)), err=True)


def check_sweep(plan: SweepPlan, path: Path, workers: Workers, json: bool) -> None:
    """Prints the cells of a plan and which are known, and computes nothing."""
    from explorer.cli.live_table import print_json
    from probes.sweep.curves import results_by_key
    from probes.sweep.sweep_file import check_sweep_file, read_sweep

    errors = Console(stderr=True)
    check_sweep_file(path, plan.load.threads)
    prepared = _prepared(plan, workers, errors)
    known = results_by_key(read_sweep(path)) if path.exists() else {}
    cells = [one.cell for one in prepared.cells]
    there = [str(cell.key) in known and known[str(cell.key)].error is None for cell in cells]
    estimate = prepared.estimate(path, len(workers.names))
    if json:
        listed = [{**_plain(cell), "known": it} for cell, it in zip(cells, there, strict=True)]
        print_json({"cells": listed, "estimate": asdict(estimate), "notes": prepared.notes})
        return
    print_cells(cells, there, Console())
    click.echo(estimate_sentence(estimate, len(cells)))
    for note in prepared.notes:
        click.echo(note, err=True)


def _prepared(plan: SweepPlan, workers: Workers, errors: Console) -> PreparedSweep:
    from probes.sweep.plan_check import check_plan

    with Bar(errors) as bar:
        check_plan(plan, bar.work)  # before torch is imported
        from probes.sweep.sweep import prepare_sweep

        return prepare_sweep(plan, workers, bar.work)


def _plain(cell: Cell) -> dict[str, object]:
    return {**asdict(cell), "key": str(cell.key)}
