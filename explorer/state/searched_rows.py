"""What a search sees of items, passages, tasks and the cells of a sweep."""

from __future__ import annotations

from explorer.state.item_list import ItemFilter, kl_of
from explorer.state.row_search import Searchable, SearchedRow
from explorer.state.sweep_grid import CellState, SweepGrid
from explorer.words.sweep_figures import SWEEP_FIGURES
from probes.schema.events import ItemScored
from probes.schema.passages import Passage
from probes.schema.verdict import Outcome, TaskVerdict

_OUTCOMES = tuple(outcome.value for outcome in Outcome)
_OUTCOME = "its outcome; also safe, borderline …"
_SPLIT, _KNEE = "split", "knee"
ITEMS = Searchable(
    "item",
    ("kl", "margin", "margin.pruned"),
    tuple(one.value for one in ItemFilter if one is not ItemFilter.ALL),
    (
        ("half", "a text of the item or of an answer"),
        ("lost", "only the dense model is right; also changed, gained"),
        ("kl>0.5", "the KL where the item is decided is above 0.5 nat"),
        ("margin<0.1", "the dense model was undecided: by less than 0.1 nat"),
        ("lost & kl<0.1", "both of one item"),
    ),
)
PASSAGES = Searchable(
    "passage",
    ("kl", "max_kl", "first_split", "agree", "dp", "rank"),
    (_SPLIT,),
    (
        ("half", "a text of the passage, or its file"),
        ("kl>0.5", "its mean KL is above 0.5 nat"),
        ("max_kl>5", "the KL of one of its tokens is above 5 nat"),
        ("agree<0.8", "top tokens agree at less than 80 %; also first_split, dp, rank"),
        ("split & kl<0.1", "both of one passage"),
    ),
)
TASKS = Searchable(
    "task",
    ("dense", "pruned", "difference", "p", "agree", "items", "lost", "gained", "h", "z", "kl"),
    _OUTCOMES,
    (
        ("arithmetic", "a text of the task's name"),
        ("broken", _OUTCOME),
        ("difference<-0.05", "the pruned model loses more than 5 points"),
        ("agree<0.9", "also dense, pruned, p, items, lost, gained, h, z, kl"),
    ),
)
_CELL_FIGURES = {
    {"parameters removed": "removed", "lost in h": "h", "lost in z": "z", "lost in p": "p"}.get(one.name, one.name)
    .lower()
    .replace(" ", "_"): one
    for one in SWEEP_FIGURES
    if not one.by_outcome
}
CELLS = Searchable(
    "cell",
    tuple(_CELL_FIGURES),
    (*_OUTCOMES, _KNEE, *(state.value for state in CellState)),
    (
        ("wanda:0.5", "a text of the setting or of the task"),
        ("broken", _OUTCOME),
        ("knee", "the largest amount that is still safe"),
        ("agreement<0.9", "also score, difference, kl, h, survival, removed …"),
        ("failed", "also done, running, waiting"),
        ("safe & removed>0.3", "both of one cell"),
    ),
)


def searched_item(one: ItemScored) -> SearchedRow:
    """An item: its text, both answers, the KL and the margins where it is decided."""
    result, kl = one.result, kl_of(one.result)
    texts = [result.item, one.prompt.prompt if one.prompt is not None else ""]
    texts += [text for answered in (result.dense, result.pruned) for text in (answered.choice, answered.text)]
    figures = {"kl": kl if kl >= 0 else None, "margin": result.dense.margin, "margin.pruned": result.pruned.margin}
    return SearchedRow("\n".join(texts), figures, frozenset(one.value for one in ItemFilter if one.holds(result)))


def searched_passage(one: Passage) -> SearchedRow:
    """A passage: its file and text, and the figures of the table."""
    figures = {
        "kl": one.mean_kl,
        "max_kl": one.max_kl,
        "first_split": float(one.first_split) if one.first_split is not None else None,
        "agree": one.agree_rate,
        "dp": one.dp,
        "rank": one.rank_change,
    }
    events = {_SPLIT} if one.first_split is not None else set()
    return SearchedRow(f"{one.source}\n{one.text}", figures, frozenset(events))


def searched_task(row: TaskVerdict) -> SearchedRow:
    """A task of the verdict: its name, its figures as shares, its outcome."""
    if not row.items:
        return SearchedRow(row.task)
    spaces = row.spaces
    figures = {
        "dense": row.dense.value,
        "pruned": row.pruned.value,
        "difference": row.difference.value,
        "p": row.mcnemar,
        "agree": row.agreement,
        "items": float(row.items),
        "lost": float(row.lost),
        "gained": float(row.gained),
        "h": spaces.h if spaces is not None else None,
        "z": spaces.z if spaces is not None else None,
        "kl": spaces.kl if spaces is not None else None,
    }
    return SearchedRow(row.task, figures, frozenset({row.outcome.value}))


def searched_cells(grid: SweepGrid) -> list[SearchedRow]:
    """The cells of a sweep, row by row: setting and task, figures as means over the seeds, outcome and state."""
    rows = []
    for row, setting in enumerate(grid.settings):
        for column, task in enumerate(grid.tasks):
            cell, prompt = grid.at(row, column), grid.is_prompt(column)
            if cell is None:
                rows.append(SearchedRow(""))
                continue
            figures = {
                name: cell.mean(found.of) if (found := one.of(prompt=prompt)) is not None else None
                for name, one in _CELL_FIGURES.items()
            }
            events = {cell.state.value} | ({cell.outcome.value} if cell.outcome is not None else set())
            events |= {_KNEE} if grid.is_knee(row, column) else set()
            rows.append(SearchedRow(f"{setting}\n{task}", figures, frozenset(events)))
    return rows
