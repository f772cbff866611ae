"""The prompt of a recording with its tokens, from what was recorded; an older recording says what it lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from explorer.sources.recorded_prompt import NO_TEXTS, NO_TOKENS, recorded_rendering
from explorer.sources.replay import ReplaySource
from explorer.sources.toy.rendered import toy_rendered
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.prompt_tokens import PromptTokens
from probes.recording import read
from probes.schema.events import Event, RunStarted
from probes.schema.header import RunHeader
from probes.schema.settings import Follow
from tests.support.records import recorded_events, write_events
from tests.support.stage import MIDDLE, Clock, press, screen_text, settle, until


def with_tokens(header: RunHeader, *, texts: bool = True) -> RunHeader:
    """The header as live models write it."""
    tokens = toy_rendered(header.settings).tokens
    special = tuple(place for place, token in enumerate(tokens) if token.kind == "special")
    found = replace(header, prompt_ids=tuple(token.token_id for token in tokens))
    pieces = tuple(token.token for token in tokens)
    return replace(found, prompt_pieces=pieces, prompt_special=special) if texts else found


def written(path: Path, *, texts: bool, follow: Follow = Follow.FREE) -> Path:
    events: list[Event] = [
        replace(event, header=with_tokens(event.header, texts=texts)) if isinstance(event, RunStarted) else event
        for event in recorded_events(9, follow=follow)
    ]
    return write_events(path, events)


def test_the_tokens_are_read_again_as_they_were_written(tmp_path: Path) -> None:
    run = read(written(tmp_path / "a.jsonl", texts=True)).run
    expected = toy_rendered(run.header.settings)
    assert any("\n" in token.token for token in expected.tokens), "a line break stays one"
    found = recorded_rendering(run.header, run.path)
    assert (found.text, found.tokens) == (expected.text, expected.tokens)
    assert not found.warnings


def test_tokens_without_texts_and_no_tokens_are_said(tmp_path: Path) -> None:
    run = read(written(tmp_path / "a.jsonl", texts=False)).run
    found = recorded_rendering(run.header, run.path)
    assert [token.token_id for token in found.tokens] == list(run.header.prompt_ids)
    assert {token.token for token in found.tokens} == {""}
    assert found.warnings == (NO_TEXTS,)
    assert recorded_rendering(replace(run.header, prompt_ids=()), run.path).warnings == (NO_TOKENS,)
    torn = replace(run.header, prompt_pieces=("a",))
    assert recorded_rendering(torn, run.path).warnings == (NO_TEXTS,)


def test_the_tokens_of_a_scored_text_are_those_of_the_steps(tmp_path: Path) -> None:
    run = read(written(tmp_path / "a.jsonl", texts=True, follow=Follow.TEXT)).run
    taken = [record.taken for record in run.path if record.taken is not None]
    header = replace(run.header, text_ids=tuple(one.token_id for one in taken[:5]))
    assert [one.token for one in recorded_rendering(header, run.path).scored] == [one.token for one in taken[:5]]


async def test_p_shows_the_recorded_prompt_and_what_is_not_recorded(tmp_path: Path) -> None:
    for texts, shown in ((True, "of them special"), (False, "not recorded")):
        source = ReplaySource(written(tmp_path / f"{texts}.jsonl", texts=texts))
        app = ExplorerApp(source, clock=Clock())
        async with app.run_test(size=MIDDLE) as pilot:
            await until(pilot, lambda app=app: app.view.newest == 9, "the recording")
            await press(pilot, "p")
            await until(pilot, lambda app=app: app.view.rendered is not None, "the tokens")
            await settle(pilot)
            assert isinstance(app.screen, PromptTokens)
            text = screen_text(app)
            assert shown in text
            assert "Natalia" in text
            assert ("This recording holds the prompt" in text) is not texts
            await press(pilot, "down", "escape")
            assert app.screen is app.main
