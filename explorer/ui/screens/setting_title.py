"""The title of the screens about many items: what they show, and of which models."""

from __future__ import annotations

from rich.text import Text

from explorer.state.judge_requests import JudgeRequests
from explorer.state.view import View
from explorer.ui.screens.model_names import model_names
from explorer.ui.theme import palette
from explorer.words.token_text import flowing


def setting_title(name: str, judging: JudgeRequests, view: View, theme: str, width: int) -> Text:
    """A line of so many cells that begins with `name`. Without a run, the models are those of the verdict."""
    colours, header, verdict = palette(theme), view.header, judging.results.verdict
    dense, pruned = ("", "") if verdict is None else (verdict.dense, verdict.setting or verdict.pruned)
    if header is not None:
        dense, pruned = header.dense.name, header.title
    title = Text.assemble((f" {flowing(name)}  ", colours.strong), ("" if view.live else "recorded  ", colours.muted))
    return model_names(title, dense, pruned, width, colours)
