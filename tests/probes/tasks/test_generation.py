"""Short answers: each model's own text, when it ends, and the figures of the dense text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from probes.schema.items import ShortAnswer
from probes.schema.settings import Follow, RunSettings
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import ItemResult
from probes.tasks.prompts import short_answer_prompt
from probes.tasks.scored_items import score_items
from tests.support.scored_pairs import SAY, TOKENIZER, broken_at, paired, saying, slow_read, tiny_pair
from tests.support.tiny import END, tiny

PROMPT = "The capital of France:"
ITEM = ShortAnswer("paris", PROMPT, ("Paris", "the city of Paris"))
ITEMS = replace(SAY, prompts=(ITEM,))
IDS = TOKENIZER(PROMPT)["input_ids"]


def model() -> PreTrainedModel:
    return tiny("llama", vocab_size=len(TOKENIZER))


def tokens(text: str, *, end: bool = False) -> list[int]:
    return [*TOKENIZER(text)["input_ids"], *([END] if end else [])]


def answers(dense: Sequence[int], pruned: Sequence[int], new_tokens: int = 32) -> ItemResult:
    """The result of models that are made to say these tokens."""
    pair = paired(saying(model(), IDS, dense), saying(model(), IDS, pruned))
    (result,) = score_items(pair, [ITEMS], options=TaskOptions(new_tokens=new_tokens))
    assert isinstance(result, ItemResult)
    return result


def greedy(one: PreTrainedModel, ids: Sequence[int], count: int) -> list[int]:
    """The likeliest tokens, each after a pass over the whole context."""
    context = list(ids)
    for _ in range(count):
        context.append(int(slow_read(one, context)[1][-1].argmax()))
    return context[len(ids) :]


@pytest.mark.parametrize(
    ("said", "text", "steps"),
    [
        (tokens(" Paris\nAnd so on"), " Paris\n", 7),
        (tokens(" Paris. It is old."), " Paris. ", 8),
        (tokens(" Paris", end=True), " Paris", 7),
        (tokens("\n\nParis\n"), "\n\nParis\n", 8),
    ],
)
def test_an_answer_ends_with_its_line_its_sentence_or_the_text(said: list[int], text: str, steps: int) -> None:
    result = answers(said, said)
    assert (result.dense.text, result.dense.choice, result.dense.right, result.dense.score) == (
        text,
        "Paris",
        True,
        1.0,
    )
    assert result.pruned == result.dense
    assert (result.generation.steps, result.generation.steps_pruned) == (steps, steps)
    assert (result.generation.first_split, result.generation.agree_rate) == (None, 1.0)
    assert result.dense.margin is None


def test_an_answer_that_does_not_end_is_cut() -> None:
    result = answers(tokens(" Paris without an end"), tokens(" Paris without an end"), new_tokens=6)
    assert (result.dense.text, result.dense.right, result.generation.steps) == (" Paris", True, 6)


def test_each_model_is_judged_by_its_own_text() -> None:
    result = answers(tokens(" Paris\n"), tokens(" Pau is a long answer.", end=True))
    assert (result.dense.choice, result.pruned.choice) == ("Paris", "Pau is a long answer")
    assert (result.dense.right, result.pruned.right) == (True, False)
    assert result.pruned.text == " Pau is a long answer."
    assert result.generation.steps == 7
    assert result.generation.first_split == 4
    # On the dense text, the pruned model goes on with its own text's token of that place.
    said = zip(tokens(" Paris\n"), tokens(" Pau is a "), strict=False)
    assert result.generation.agree_rate == pytest.approx(sum(a == b for a, b in said) / 7)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "mamba"])
def test_texts_and_sums_agree_with_plain_passes(architecture: str) -> None:
    pair, count = tiny_pair(architecture, 0.1), 8
    for result, item in zip(score_items(pair, [SAY], options=TaskOptions(new_tokens=count)), SAY.prompts, strict=True):
        prompt = short_answer_prompt(TOKENIZER, SAY, item).ids
        own = [greedy(one, prompt, count) for one in (pair.dense.model, pair.pruned.model)]
        steps = result.generation.steps
        dense = TOKENIZER.decode(own[0][:steps])
        assert dense.startswith(result.dense.text.rstrip("�"))
        assert TOKENIZER.decode(own[1]).startswith(result.pruned.text.rstrip("�"))
        both = []
        for place in range(steps):
            context = [*prompt, *own[0][:place]]
            both.append(
                [torch.log_softmax(slow_read(m, context)[1][-1], -1) for m in (pair.dense.model, pair.pruned.model)]
            )
        kls = [float((p.exp() * (p - q)).sum()) for p, q in both]
        kept = [1 - float((p.exp() - q.exp()).abs().sum()) / 2 for p, q in both]
        same = [int(p.argmax()) == int(q.argmax()) for p, q in both]
        assert result.generation.kl == pytest.approx(sum(kls), rel=1e-3)
        assert result.generation.survival == pytest.approx(math.prod(kept), rel=1e-3)
        assert result.generation.agree_rate == pytest.approx(sum(same) / steps)
        assert result.generation.first_split == next((at for at, one in enumerate(same, 1) if not one), None)
        rate = -sum(map(math.log, kept)) / steps
        assert result.generation.half_life == pytest.approx(math.log(2) / rate, rel=1e-3)
        assert result.spaces.p.kl == pytest.approx(sum(kls) / steps, rel=1e-3)


def test_the_texts_are_those_of_a_free_run() -> None:
    pair = tiny_pair()
    for result, item in zip(score_items(pair, [SAY], options=TaskOptions(new_tokens=8)), SAY.prompts, strict=True):
        with pair.lockstep(RunSettings(item.prompt, raw=True, follow=Follow.FREE, steps=8)) as lockstep:
            records = list(lockstep)
        free = [
            "".join(one.text for one in track if one)
            for track in zip(*((r.taken, r.taken_pruned) for r in records), strict=True)
        ]
        assert free[0].startswith(result.dense.text)
        assert free[1].startswith(result.pruned.text)
        assert len(result.pruned.text) > 2


ODD = TOKENIZER("§", add_special_tokens=False)["input_ids"][-1]


@pytest.mark.parametrize("side", ["dense", "pruned"])
def test_nan_from_the_first_token_on_leaves_the_other_model_its_answer(side: str) -> None:
    prompt = f"§ {PROMPT}"
    items = replace(SAY, prompts=(ShortAnswer("odd", prompt, ("Paris",)), ITEM))
    models = {one: saying(model(), TOKENIZER(prompt)["input_ids"], tokens(" Paris\n")) for one in ("dense", "pruned")}
    broken_at(models[side], ODD)
    odd, _ = score_items(paired(models["dense"], models["pruned"]), [items], options=TaskOptions(new_tokens=8))
    broken, other = (odd.dense, odd.pruned) if side == "dense" else (odd.pruned, odd.dense)
    assert (broken.choice, broken.right, broken.score, broken.text) == ("", False, 0.0, "")
    assert (other.choice, other.right) == ("Paris", True)
    assert (odd.spaces, odd.generation) == (None, None)
    assert odd.notes == (
        f"The {side} model computes NaN or infinity, first in model.embed_tokens, which counts as wrong.",
    )


def test_nan_later_on_keeps_the_figures_of_the_steps_before() -> None:
    last = tokens("s")[0]
    pruned = broken_at(saying(model(), IDS, tokens(" Paris\n")), last)
    (result,) = score_items(paired(saying(model(), IDS, tokens(" Paris\n")), pruned), [ITEMS])
    assert (result.dense.text, result.dense.right) == (" Paris\n", True)
    assert (result.pruned.text, result.pruned.right, result.pruned.choice) == (" Paris", False, "")
    assert result.generation.steps == 6
    assert result.spaces is not None
    assert len(result.notes) == 1


def test_an_answer_ends_with_the_models_context() -> None:
    prompt = "x" * 250
    items = replace(SAY, prompts=(ShortAnswer("long", prompt, ("y",)),))
    ids = TOKENIZER(prompt)["input_ids"]
    models = [saying(model(), ids, tokens(text * 30)) for text in ("ab", "cd")]
    (result,) = score_items(paired(*models), [items])
    assert (result.dense.text, result.pruned.text) == ("abababa", "cdcdcdc")
    assert result.generation.steps == 256 - 250 + 1
