"""The two models in the title of a page: the dense model's name is shortened before the setting is."""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

from explorer.ui.theme import Palette
from explorer.words.token_text import fit_middle, flowing

LEAST_NAME = 8
"""The fewest cells of the dense model's name; if even that leaves the setting too few, it is left out."""
LEAST_SETTING = 16


def model_names(title: Text, dense: str, pruned: str, width: int, colours: Palette) -> Text:
    """The title with the two models after it, in one line of so many cells."""
    dense, pruned = flowing(dense), flowing(pruned)
    arrow = " ⇄ " if dense else ""
    room = max(3, width - title.cell_len - 1)
    if cell_len(dense + arrow + pruned) > room:
        setting = min(cell_len(pruned), max(room - LEAST_NAME - len(arrow), LEAST_SETTING))
        if (left := room - len(arrow) - setting) >= LEAST_NAME and dense:
            dense = fit_middle(dense, left)
        else:
            dense, arrow, setting = "", "", room
        pruned = fit_middle(pruned, setting)
    title.append_text(Text.assemble((dense, colours.dense), (arrow, colours.muted), (pruned, colours.pruned)))
    title.no_wrap, title.overflow = True, "ellipsis"
    return title
