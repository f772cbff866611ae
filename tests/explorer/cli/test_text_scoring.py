"""A text that is followed is scored: all of it, with what both models think of each token and of the whole."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
import torch
from rich.console import Console

from explorer.cli.live_table import JsonLines, LiveTable
from explorer.cli.run_loop import events
from explorer.words.numbers import significant
from explorer.words.pauses import pause_sentence
from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.events import Event, RunPaused, Why
from probes.schema.header import ModelInfo
from probes.schema.settings import Follow, RunSettings
from tests.support.tiny import byte_tokenizer, tiny

TOKENIZER = byte_tokenizer()
CONTEXT = 200
TEXT = "the ringing of the singer " * 10
IDS = TOKENIZER(TEXT, add_special_tokens=False)["input_ids"]
INFO = ModelInfo("tiny", "tiny", "", "", "Tiny", 3, 32, len(TOKENIZER), 1000, "float32", "cpu")


@pytest.fixture(scope="module")
def pair() -> Pair:
    def loaded(seed: int) -> Loaded:
        return Loaded(tiny("llama", seed, vocab_size=len(TOKENIZER), max_position_embeddings=CONTEXT), TOKENIZER, INFO)

    return Pair(loaded(0), loaded(1), None)


def run(pair: Pair, settings: RunSettings) -> list[Event]:
    prompt = pair.prompt(settings)
    with pair.lockstep(settings, prompt) as lockstep:
        return list(events(lockstep, pair.header(settings, prompt), ()))


def nll(pair: Pair, before: Sequence[int], text: Sequence[int]) -> list[float]:
    """Σ -log p of the text under both models, each reading it at once."""
    found = []
    for model in (pair.dense.model, pair.pruned.model):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*before, *text[:-1]]])).logits[0, len(before) - 1 :].double()
        found.append(-float(logits.log_softmax(-1)[range(len(text)), list(text)].sum()))
    return found


def scored(**changes: Any) -> RunSettings:
    return RunSettings("", follow=Follow.TEXT, text=TEXT, **changes)  # type: ignore[arg-type]


def stopped(found: Sequence[Event]) -> RunPaused:
    assert isinstance(found[-1], RunPaused)
    return found[-1]


def test_a_text_longer_than_the_usual_steps_is_scored_whole_with_both_perplexities(
    pair: Pair, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert len(IDS) > 128
    found = run(pair, scored())
    assert stopped(found).why is Why.TEXT
    show = JsonLines()
    for event in found:
        show(event)
    *steps, last = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [step["taken"]["token_id"] for step in steps] == IDS
    summary = last["summary"]
    assert [summary["nll_dense"], summary["nll_pruned"]] == pytest.approx(nll(pair, [0], IDS), rel=1e-5)
    assert summary["perplexity_dense"] == pytest.approx(math.exp(summary["nll_dense"] / len(IDS)))
    assert steps[-1]["sum"]["nll_pruned"] == summary["nll_pruned"]
    assert steps[0]["taken"]["p"] == pytest.approx(math.exp(-nll(pair, [0], IDS[:1])[0]), rel=1e-5)
    assert last["warnings"] == []


def test_the_live_table_shows_the_scored_tokens_and_both_perplexities(pair: Pair) -> None:
    settings = replace(scored(), text="the ring")
    found = run(pair, settings)
    out = StringIO()
    table = LiveTable(Console(file=out, width=160))
    for event in found:
        table(event)
    lines = out.getvalue().splitlines()
    heading = next(line for line in lines if line.startswith(" step"))
    assert heading.split()[:4] == ["step", "scored", "p", "q"]
    assert "shared" not in heading
    first = lines[lines.index(heading) + 1]
    ids = TOKENIZER("the ring", add_special_tokens=False)["input_ids"]
    p, q = (math.exp(-one) for one in nll(pair, [0], ids[:1]))
    assert first.split()[1:4] == ["“t”", f"{p:.3g}", f"{q:.3g}"]
    assert first.index(f"{p:.3g}") + len(f"{p:.3g}") == heading.index(" p ") + 2
    for column in ("dense", "pruned"):
        assert first[heading.index(column) - 1] == "“"
    dense, pruned = (math.exp(one / len(ids)) for one in nll(pair, [0], ids))
    below = [[part.strip() for part in line.rsplit("  ", 1)] for line in lines]
    for label, figure in (("perplexity, dense", dense), ("perplexity, pruned", pruned)):
        assert [label, significant(figure, 4)] in below
    assert ["tokens scored", str(len(ids))] in below


def test_a_text_that_the_steps_cut_short_says_so(pair: Pair) -> None:
    found = run(pair, scored(steps=20))
    header = pair.header(scored(steps=20), pair.prompt(scored(steps=20)))
    assert header.limit == 20
    assert f"The text has {len(IDS)} tokens; only the first 20 are scored (--steps)." in header.every_note
    assert stopped(found).why is Why.STEPS
    assert pause_sentence(stopped(found)) == f"20 steps are done, and {len(IDS) - 20} tokens of the text are left."


def test_a_text_longer_than_the_models_context_is_warned_of(pair: Pair) -> None:
    settings = replace(scored(), text=TEXT * 3)
    prompt = pair.prompt(settings)
    header = pair.header(settings, prompt)
    assert header.every_warning == (
        f"The text has {len(prompt.text_ids)} tokens, but the models read at most {CONTEXT}: only the first "
        f"{CONTEXT} are scored.",
    )
    with pair.lockstep(settings, prompt) as lockstep:
        assert lockstep.limit == CONTEXT
        assert lockstep.text_left == len(prompt.text_ids)


def test_a_text_that_is_cut_by_its_steps_is_not_said_to_be_cut_by_the_context(pair: Pair) -> None:
    settings = replace(scored(steps=3), text=TEXT * 3)
    assert pair.header(settings, pair.prompt(settings)).every_warning == ()


def test_a_prompt_of_a_megabyte_is_refused_in_a_sentence(pair: Pair) -> None:
    for text in ("the king ", "a"):
        settings = RunSettings(text * (1_000_000 // len(text)))
        prompt = pair.prompt(settings)
        assert TOKENIZER.decode(prompt.ids[1:-2]) == settings.prompt
        assert pair.header(settings, prompt).every_warning == ()
        with pytest.raises(BadInput, match=rf"{len(prompt.ids):,} tokens, but the models read at most {CONTEXT}\."):
            pair.lockstep(settings, prompt)


def test_a_text_of_a_megabyte_is_scored_as_far_as_the_models_read(pair: Pair) -> None:
    settings = replace(scored(), text="the king " * 110_000)
    found = run(pair, settings)
    assert pause_sentence(stopped(found)) == f"The models' maximum context is reached after {CONTEXT} steps."


@pytest.mark.parametrize("changes", [{"prompt": "caf\udce9"}, {"text": "\ud800", "follow": Follow.TEXT}])
def test_bytes_that_are_no_text_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="not UTF-8"):
        RunSettings(**{"prompt": "", **changes})  # type: ignore[arg-type]


def test_a_prompt_that_was_given_stays_before_the_text(pair: Pair) -> None:
    settings = replace(scored(), prompt="the king", text=" sings")
    prompt = pair.prompt(settings)
    header = pair.header(settings, prompt)
    assert header.prompt_text == "<|user|>the king<|end|><|assistant|>"
    assert TOKENIZER.decode(header.text_ids) == " sings"
    assert header.limit == len(header.text_ids)


def test_steps_that_nobody_asked_for_are_128_elsewhere(pair: Pair) -> None:
    settings = RunSettings("the king")
    assert (settings.longest, pair.header(settings, pair.prompt(settings)).limit) == (128, 128)


def test_the_header_holds_the_tokens_that_were_read_though_the_template_gives_others_each_time(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = iter(range(100))
    tokenizer = byte_tokenizer()
    monkeypatch.setattr(
        type(tokenizer),
        "apply_chat_template",
        lambda _self, turns, **_named: f"day {next(days)}: {turns[0]['content']}",
    )
    dated = replace(pair, dense=replace(pair.dense, tokenizer=tokenizer))
    settings = RunSettings("the king", steps=1)
    prompt = dated.prompt(settings)
    with dated.lockstep(settings, prompt) as lockstep:
        assert tuple(lockstep.prompt_ids) == dated.header(settings, prompt).prompt_ids
    assert dated.prompt(settings).ids != prompt.ids
