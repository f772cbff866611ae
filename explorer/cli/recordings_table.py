"""The output of `phier recordings`: a line for each run if they fit into the terminal, else a few short lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from explorer.recordings.library import ListedRun
from explorer.words.token_text import fit, flowing, wrapped
from probes.schema.counting import number_of

_TITLES = ("recorded", "models", "setting", "context", "steps", "ΣKL", "survival", "split", "file")
_FEWEST, _LONGEST = 30, 1_000
"""The fewest cells of a prompt in a line with all of these, and the most characters of it where it is not cut."""
_LINES = 2
"""Lines of a prompt in a narrow terminal."""


def print_recordings(found: Sequence[ListedRun], console: Console) -> None:
    """Prints the runs. A file's name is never cut, so that it can be copied; a prompt is cut to fit a terminal."""
    rows = [_cells(one) for one in found]
    widths = [max(map(cell_len, column)) + 2 for column in zip(_TITLES, *rows, strict=True)]
    left = console.width - sum(widths) if console.is_terminal else _LONGEST
    if left < _FEWEST:
        for one in found:
            _print_lines(one, console)
        return
    prompts = [flowing(one.prompt_line(_LONGEST)) for one in found]
    for row, prompt, style in zip((_TITLES, *rows), ("prompt", *prompts), ("bold", *("",) * len(rows)), strict=True):
        line = "".join(map(fit, row, widths)) + (prompt if cell_len(prompt) <= left else fit(prompt, left))
        console.print(Text(line.rstrip(), style), soft_wrap=True)


def _print_lines(one: ListedRun, console: Console) -> None:
    """The run in lines of its own: figures, prompt, models and file."""
    when, models, setting, context, steps, kl, survival, split, file = _cells(one)
    figures = [when, setting, context]
    if kl:
        parts = "no split" if one.first_split is None else f"split at {split}"
        figures += [number_of(one.steps, "step"), f"ΣKL {kl}", f"survival {survival}", parts]
    else:
        figures.append(steps)
    first, *rest = wrapped(" · ".join(filter(None, figures)), console.width - 3)
    console.print(Text(first, "bold"), soft_wrap=True)
    prompt = wrapped(flowing(one.prompt_line(_LONGEST)), console.width - 3)
    if len(prompt) > _LINES:
        prompt = [*prompt[: _LINES - 1], fit(" ".join(prompt[_LINES - 1 :]), console.width - 2).rstrip()]
    for line in (*rest, *prompt, " · ".join(filter(None, (models, file)))):
        console.print(Text(f"  {line}"), soft_wrap=True)


def _cells(one: ListedRun) -> tuple[str, ...]:
    """A run's cells, without the prompt."""
    figures = ("", "", "")
    if not one.problem and not one.other:
        figures = (f"{one.kl:.3g}", f"{one.survival:.2g}", str(one.first_split or "none"))
    context = "" if one.other else one.header.settings.follow.value
    steps = one.problem or one.other or str(one.steps)
    row = (f"{one.when:%Y-%m-%d %H:%M}", one.models, one.setting, context, steps, *figures, str(one.chosen))
    return tuple(map(flowing, row))
