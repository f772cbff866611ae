"""Exports what is no recording: the results of items, with their verdict, and a sweep."""

from __future__ import annotations

from pathlib import Path

from explorer.recordings.export.finding_rows import flat_row
from explorer.recordings.export.table_files import WRITERS
from explorer.recordings.export.tidy_table import ExportTable, Value, columns_of
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.verdict import MARGIN_OF_SAFETY
from probes.tasks.results_file import KeptResults


def results_files(path: Path, to: str) -> tuple[dict[str, bytes], str]:
    """The files of a results file by name, and a sentence on the verdict in them: tables of tasks and of items, or the
    verdict as a figure or a page. Raises what `read_results` raises."""
    from probes.tasks.judge import judge
    from probes.tasks.results_file import read_results

    kept = read_results(path)
    verdict = judge(kept.found, kept.item_sets)
    note = (
        f"Judged at a margin of {100 * MARGIN_OF_SAFETY:g} points. `phier verdict --results {flowing(str(path))} "
        "--margin M --export OUT` judges at another."
    )
    if to in WRITERS:
        from explorer.recordings.export.verdict_export import verdict_rows

        tables = [table for table in (verdict_rows(verdict), item_rows(kept)) if len(table)]
        return {table.name: WRITERS[to](table) for table in tables}, note
    if to == "html":
        from explorer.recordings.export.verdict_page import verdict_page

        return {"verdict": verdict_page(verdict)}, note
    from explorer.recordings.export.verdict_figure import draw_verdict

    return {"verdict": draw_verdict(verdict, to)}, note


def item_rows(kept: KeptResults) -> ExportTable:
    """A row for each item that is scored: both answers, and every figure of it. Of one scored twice, the later."""
    from explorer.sources.kept_results import item_texts

    texts = {items.name: item_texts(items) for items in kept.item_sets}
    latest = {(one.task, one.item): one for one in kept.results}
    rows: list[dict[str, Value]] = []
    for result in latest.values():
        prompt, _, answer = texts.get(result.task, {}).get(result.item, (None, {}, None))
        row: dict[str, Value] = {"setting": kept.header.setting or kept.header.pruned}
        row |= {"task": result.task, "item": result.item, "prompt": prompt, "answer": answer, "same": result.same}
        parts = {name: value for name, value in flat_row(result).items() if name not in _PARTS}
        rows.append({**row, **parts, "notes": " ".join(result.notes) or None})
    return ExportTable("items", columns_of(rows))


_PARTS = ("spaces", "options", "ranking", "generation")
"""What an item may lack; of one that has it, each figure is a column."""


def sweep_file(path: Path, target: Path, to: str) -> tuple[Path, ...]:
    """Exports a sweep's file to the target, and returns what was written. Raises what `export_sweep` raises."""
    from explorer.recordings.export.sweep_export import SWEEP_FORMATS, export_sweep
    from probes.sweep.sweep_file import read_sweep

    if to not in SWEEP_FORMATS:
        sentence = f"{flowing(str(path))} is a sweep, which has no {to} page."
        raise BadInput("Export", sentence, f"Use one of: {', '.join(SWEEP_FORMATS)}.")
    return export_sweep(read_sweep(path), target)
