"""A text that is scored: its token with both probabilities at every step, each model's likelihood and perplexity."""

from __future__ import annotations

import math

import pytest

from explorer.ui.widgets.next_tokens import NextTokens
from probes.schema.settings import Follow
from tests.support.stage import MIDDLE, SMALL, on_stage, screen_text, scripted, text_of


async def test_the_scored_token_has_its_probabilities_on_the_screen() -> None:
    source = scripted(Follow.TEXT)
    taken = [record.taken for record in scripted(Follow.TEXT).records(3)]
    async with on_stage(source, 3, MIDDLE) as (app, pilot):
        for step in (3, 2, 1):
            token = taken[step - 1]
            assert token is not None
            title = str(app.main.query_one(NextTokens)._words[0])
            assert title.startswith(f'next token at step {step} · the text has "{token.token}": dense p ')
            await pilot.press("left")


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_either_models_perplexity_is_shown(size: tuple[int, int]) -> None:
    taken = [record.taken for record in scripted(Follow.TEXT).records(4)]
    mean = sum(-math.log(token.p) for token in taken if token is not None) / 4
    async with on_stage(scripted(Follow.TEXT), 4, size) as (app, _):
        shown = " ".join(text_of(app, "#accumulated FigureRows").split())
        assert f"ppl dense {math.exp(mean):.3g}"[:13] in shown
        assert "ppl pruned ↓" in shown
        assert "dense p" in screen_text(app)


async def test_likelihoods_are_in_the_panel_of_every_context() -> None:
    async with on_stage(scripted(Follow.DENSE), 9, MIDDLE) as (app, _):
        copied = app.main.query_one("#accumulated").copy_text()  # type: ignore[attr-defined]
        for name in ("ppl dense", "ppl pruned", "NLL dense", "NLL pruned"):
            assert f"{name}\t" in copied
