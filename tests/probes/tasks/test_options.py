"""Questions by letter and by continuation: by hand, against a slow plain reading, and where a model fails."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.items import Question, TaskKind, Way
from probes.schema.settings import RunSettings
from probes.stepping.cached_model import NextTokenOutput
from probes.tasks import readers
from probes.tasks.options import option_figures, score_continuations, score_letters
from probes.tasks.prompts import ContinuationPrompt, LetterPrompt, by_continuation, by_letter, item_prompt
from probes.tasks.readers import Readers
from probes.tasks.scored_items import score_items
from tests.support.formulas import reference
from tests.support.scored_pairs import LETTERS, QUESTIONS, TOKENIZER, WORDS, broken_at, paired, slow_read, tiny_pair
from tests.support.stepping import damaged
from tests.support.tiny import tiny

PET = Question("pet", "Which one barks?", ("cat", "dog", "fish"), 1)
PETS = replace(LETTERS, questions=(PET,))


class Scripted:
    """Readers that give these probabilities, (positions, V), after any prompt."""

    def __init__(self, dense: Sequence[Sequence[float]], pruned: Sequence[Sequence[float]]) -> None:
        self.outputs = tuple(
            NextTokenOutput(torch.ones(len(one), 3), torch.tensor(one, dtype=torch.float64).log())
            for one in (dense, pruned)
        )

    def forget(self) -> None:
        pass

    def read_last(self, context: Sequence[int], positions: int = 1) -> Any:
        """The row of a position is that of the last token read: the probabilities after token i are those of row i."""
        rows = list(context[-positions:])
        return tuple(NextTokenOutput(one.hidden[rows], one.logits[rows]) for one in self.outputs)

    def read_options(self, context: Sequence[int], options: Mapping[int, Sequence[int]]) -> Iterator[Any]:
        for number, option in options.items():
            if len(option) > 1:
                yield number, option[1:], self.read_last([*context, *option[:-1]], len(option) - 1)


def scripted(*each: Sequence[Sequence[float]]) -> Any:
    return Scripted(*each)


# By hand ------------------------------------------------------------------------------------------------------


def test_by_letter_adds_the_surface_forms_and_leaves_out_all_other_tokens() -> None:
    p = [0.30, 0.10, 0.05, 0.15, 0.10, 0.30]
    q = [0.10, 0.06, 0.02, 0.12, 0.60, 0.10]
    prompt = LetterPrompt("", (0,), ("A", "B", "C"), ((0, 1), (2, 3), (4,)))
    found = score_letters(scripted([p], [q]), PETS, PET, prompt)
    # dense: A .4, B .2, C .1 of .7; pruned: A .16, B .14, C .6 of .9
    assert (found.dense.choice, found.dense.right, found.dense.score) == ("cat", False, 0.0)
    assert (found.pruned.choice, found.pruned.right) == ("fish", False)
    assert found.dense.margin == pytest.approx(math.log(0.4 / 0.2))
    assert found.pruned.margin == pytest.approx(math.log(0.6 / 0.16))
    figures = found.options
    assert figures.tokens == prompt.tokens
    assert figures.p == pytest.approx((4 / 7, 2 / 7, 1 / 7))
    assert figures.q == pytest.approx((0.16 / 0.9, 0.14 / 0.9, 0.6 / 0.9))
    assert (figures.mass_dense, figures.mass_pruned) == pytest.approx((0.7, 0.9))
    kl = sum(a * math.log(a / b) for a, b in zip(figures.p, figures.q, strict=True))
    reverse = sum(b * math.log(b / a) for a, b in zip(figures.p, figures.q, strict=True))
    dot = sum(a * b for a, b in zip(figures.p, figures.q, strict=True))
    assert figures.kl == pytest.approx(kl)
    assert figures.kl_reverse == pytest.approx(reverse)
    assert figures.cos == pytest.approx(dot / math.hypot(*figures.p) / math.hypot(*figures.q))
    assert (figures.per_byte_dense, figures.per_byte_pruned) == ("", "")
    assert not found.same
    assert found.spaces.p.kl == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))


def test_by_continuation_adds_the_logarithms_of_all_tokens_and_divides_them_by_the_bytes() -> None:
    # After token 0 come the options: 1; or 2, then 3. After 2 come 3 and others.
    dense = [[0.1, 0.3, 0.5, 0.1], [0.25] * 4, [0.2, 0.2, 0.1, 0.5], [0.25] * 4]
    pruned = [[0.2, 0.3, 0.4, 0.1], [0.25] * 4, [0.05, 0.05, 0.0 + 0.1, 0.8], [0.25] * 4]
    question = Question("1", "?", ("a", "long"), 1)
    prompt = ContinuationPrompt("", (0,), (" a", " long"), ((1,), (2, 3)))
    found = score_continuations(scripted(dense, pruned), WORDS, question, prompt)
    # dense: a .3, long .5 · .5 = .25; pruned: a .3, long .4 · .8 = .32
    assert (found.dense.choice, found.dense.right) == ("a", False)
    assert (found.pruned.choice, found.pruned.right, found.pruned.score) == ("long", True, 1.0)
    assert found.dense.margin == pytest.approx(math.log(0.3 / 0.25))
    assert found.options.p == pytest.approx((0.3 / 0.55, 0.25 / 0.55))
    assert found.options.q == pytest.approx((0.3 / 0.62, 0.32 / 0.62))
    assert (found.options.mass_dense, found.options.mass_pruned) == (None, None)
    # per byte: ln .3 / 1 = -1.20 and ln .25 / 4 = -.35
    assert (found.options.per_byte_dense, found.options.per_byte_pruned) == ("long", "long")
    # the dense model chooses "a", which is predicted at one position
    kl = sum(a * math.log(a / b) for a, b in zip(dense[0], pruned[0], strict=True))
    assert found.spaces.p.kl == pytest.approx(kl)


def test_the_spaces_are_the_means_over_the_tokens_of_the_option_that_the_dense_model_chooses() -> None:
    dense = [[0.1, 0.1, 0.7, 0.1], [0.25] * 4, [0.1, 0.1, 0.1, 0.7], [0.25] * 4]
    pruned = [[0.2, 0.3, 0.4, 0.1], [0.25] * 4, [0.7, 0.1, 0.1, 0.1], [0.25] * 4]
    prompt = ContinuationPrompt("", (0,), (" a", " long"), ((1,), (2, 3)))
    found = score_continuations(scripted(dense, pruned), WORDS, Question("1", "?", ("a", "long"), 1), prompt)
    assert found.dense.choice == "long"
    kls = [sum(a * math.log(a / b) for a, b in zip(dense[i], pruned[i], strict=True)) for i in (0, 2)]
    assert found.spaces.p.kl == pytest.approx(sum(kls) / 2)
    assert found.spaces.p.rank_dense_in_pruned == round((1 + 4) / 2)


def test_probabilities_that_underflow_give_finite_figures() -> None:
    figures = option_figures([0.0, -2000.0], [-2000.0, 0.0])
    assert figures.p == (1.0, 0.0)
    assert (figures.kl, figures.kl_reverse, figures.cos) == (2000.0, 2000.0, 0.0)


def test_of_options_that_are_equally_likely_the_first_is_chosen() -> None:
    prompt = LetterPrompt("", (0,), ("A", "B", "C"), ((0,), (1,), (2,)))
    found = score_letters(scripted([[0.2, 0.4, 0.4]], [[0.2, 0.4, 0.4]]), PETS, PET, prompt)
    assert (found.dense.choice, found.dense.margin, found.dense.right) == ("dog", 0.0, True)


# Against a slow plain reading ---------------------------------------------------------------------------------

ARCHITECTURES = ("llama", "qwen3", "mistral-sliding", "gemma2", "gpt2", "gpt_neox", "mamba")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_by_letter_agrees_with_one_plain_pass(architecture: str) -> None:
    pair = tiny_pair(architecture)
    for found, question in zip(score_items(pair, [LETTERS]), QUESTIONS, strict=True):
        prompt = by_letter(TOKENIZER, LETTERS, question)
        h, z = slow_read(pair.dense.model, prompt.ids)
        h2, z2 = slow_read(pair.pruned.model, prompt.ids)
        for logits, shares, mass, answered in (
            (z, found.options.p, found.options.mass_dense, found.dense),
            (z2, found.options.q, found.options.mass_pruned, found.pruned),
        ):
            p = torch.softmax(logits[-1], -1)
            plain = torch.stack([p[list(forms)].sum() for forms in prompt.tokens])
            assert mass == pytest.approx(float(plain.sum()), rel=1e-4)
            assert shares == pytest.approx((plain / plain.sum()).tolist(), rel=1e-4)
            assert answered.choice == question.options[int(plain.argmax())]
            first, second = plain.log().topk(2).values.tolist()
            assert answered.margin == pytest.approx(first - second, abs=1e-4)
        wanted = reference(h[-1], h2[-1], z[-1], z2[-1])
        assert found.spaces.h.cos == pytest.approx(wanted["h.cos"], abs=1e-4)
        assert found.spaces.z.cos_centred == pytest.approx(wanted["z.cos_centred"], abs=1e-4)
        assert found.spaces.p.kl == pytest.approx(wanted["p.kl"], rel=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_by_continuation_agrees_with_one_plain_pass_for_each_option(architecture: str) -> None:
    pair = tiny_pair(architecture)
    for found, question in zip(score_items(pair, [WORDS]), QUESTIONS, strict=True):
        prompt = by_continuation(TOKENIZER, WORDS, question)
        for model, shares, answered in (
            (pair.dense.model, found.options.p, found.dense),
            (pair.pruned.model, found.options.q, found.pruned),
        ):
            sums = []
            for ids in prompt.continuations:
                logs = torch.log_softmax(slow_read(model, [*prompt.ids, *ids])[1], -1)
                at = range(len(prompt.ids) - 1, len(prompt.ids) + len(ids) - 1)
                sums.append(sum(float(logs[place, token]) for place, token in zip(at, ids, strict=True)))
            assert shares == pytest.approx(torch.softmax(torch.tensor(sums).double(), -1).tolist(), rel=1e-3)
            assert answered.choice == question.options[sums.index(max(sums))]
        chosen = prompt.continuations[question.options.index(found.dense.choice)]
        read = [*prompt.ids, *chosen[:-1]]
        both = [slow_read(model, read) for model in (pair.dense.model, pair.pruned.model)]
        each = [
            reference(both[0][0][at], both[1][0][at], both[0][1][at], both[1][1][at])
            for at in range(len(prompt.ids) - 1, len(read))
        ]
        assert found.spaces.p.kl == pytest.approx(sum(one["p.kl"] for one in each) / len(each), rel=1e-3)
        assert found.spaces.h.cos == pytest.approx(sum(one["h.cos"] for one in each) / len(each), abs=1e-4)


def test_the_spaces_by_letter_are_those_of_the_first_step_of_the_opened_item() -> None:
    pair = tiny_pair()
    for found in score_items(pair, [LETTERS]):
        text = item_prompt(TOKENIZER, LETTERS, found.item).prompt
        with pair.lockstep(RunSettings(text, raw=True)) as lockstep:
            step = lockstep.step()
        assert (found.spaces.h, found.spaces.z, found.spaces.p) == (step.own.h, step.own.z, step.own.p)


def test_an_option_longer_than_a_piece_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question("long", "Which?", ("a sentence of many bytes", "none"), 0)
    items = replace(WORDS, questions=(question,))
    (whole,) = score_items(tiny_pair(), [items])
    monkeypatch.setattr(readers, "AT_ONCE", 5)
    (pieces,) = score_items(tiny_pair(), [items])
    assert pieces.options.p == pytest.approx(whole.options.p, rel=1e-4)
    assert pieces.spaces.p.kl == pytest.approx(whole.spaces.p.kl, rel=1e-3)


# Where a model fails ------------------------------------------------------------------------------------------

ODD = TOKENIZER("§", add_special_tokens=False)["input_ids"][-1]
ODD_QUESTION = Question("odd", "Which § barks?", ("cat", "dog"), 1)


def broken_pair(side: str) -> Pair:
    dense, pruned = (tiny("llama", vocab_size=len(TOKENIZER)) for _ in range(2))
    broken_at({"dense": dense, "pruned": pruned}[side], ODD)
    return paired(dense, pruned)


@pytest.mark.parametrize("side", ["dense", "pruned"])
@pytest.mark.parametrize("way", Way)
def test_a_model_that_computes_nan_is_wrong_on_that_item_alone(side: str, way: Way) -> None:
    items = replace(LETTERS, questions=(QUESTIONS[0], ODD_QUESTION, QUESTIONS[1]), way=way)
    pair = broken_pair(side)
    before, odd, after = score_items(pair, [items])
    assert (before, after) == tuple(score_items(tiny_copy(), [replace(items, questions=QUESTIONS[:2])]))
    broken, other = (odd.dense, odd.pruned) if side == "dense" else (odd.pruned, odd.dense)
    assert (broken.choice, broken.right, broken.score, broken.margin) == ("", False, 0.0, None)
    assert other.choice in ODD_QUESTION.options
    assert (odd.spaces, odd.options) == (None, None)
    assert odd.notes == (
        f"The {side} model computes NaN or infinity, first in model.embed_tokens, which counts as wrong.",
    )


def tiny_copy() -> Pair:
    return paired(tiny("llama", vocab_size=len(TOKENIZER)), tiny("llama", vocab_size=len(TOKENIZER)))


def test_by_continuation_nan_inside_one_option_is_enough_to_be_wrong() -> None:
    question = Question("odd", "Which barks?", ("cat", "a§b", "dog"), 2)
    (odd,) = score_items(broken_pair("pruned"), [replace(WORDS, questions=(question,))])
    assert odd.dense.choice
    assert (odd.pruned.choice, odd.spaces, len(odd.notes)) == ("", None, 1)


# Other vocabularies -------------------------------------------------------------------------------------------


def other_vocabularies() -> Pair:
    """The second model has another added token, and one more."""
    ours, theirs = copy.deepcopy(TOKENIZER), copy.deepcopy(TOKENIZER)
    ours.add_tokens(["<x>", "<both>"])
    theirs.add_tokens(["<y>", "<both>", "<more>"])
    dense, pruned = (tiny("llama", vocab_size=len(tokenizer)) for tokenizer in (ours, theirs))
    return paired(dense, damaged(pruned), ours, theirs)


@pytest.mark.parametrize("way", Way)
def test_only_the_tokens_of_both_models_count(way: Way) -> None:
    pair = other_vocabularies()
    size, items = len(pair.dense.tokenizer), replace(LETTERS, way=way)
    assert (pair.common.size, len(pair.pruned.tokenizer)) == (size, size + 1)
    for found, question in zip(score_items(pair, [items]), QUESTIONS, strict=True):
        if way is Way.LETTER:
            lettered = by_letter(pair.dense.tokenizer, items, question)
            q = torch.softmax(slow_read(pair.pruned.model, lettered.ids)[1][-1, :size], -1)
            plain = [float(q[list(forms)].sum()) for forms in lettered.tokens]
            assert found.options.mass_pruned == pytest.approx(sum(plain), rel=1e-4)
        else:
            continued, plain = by_continuation(pair.dense.tokenizer, items, question), []
            for ids in continued.continuations:
                logs = torch.log_softmax(slow_read(pair.pruned.model, [*continued.ids, *ids])[1][:, :size], -1)
                at = range(len(continued.ids) - 1, len(continued.ids) + len(ids) - 1)
                plain.append(math.exp(sum(float(logs[i, token]) for i, token in zip(at, ids, strict=True))))
        assert found.options.q == pytest.approx([one / sum(plain) for one in plain], rel=1e-3)


@pytest.mark.parametrize("way", Way)
def test_a_token_that_is_another_one_in_the_second_model_is_refused(way: Way) -> None:
    pair = other_vocabularies()
    items = replace(LETTERS, questions=(Question("odd", "Which <x> barks?", ("cat", "dog"), 1),), way=way)
    with pytest.raises(BadInput, match=r"Item odd of letters has “<x>” .* not the same token in both models"):
        score_items(pair, [items])


def test_label_words_are_options_by_letter_too() -> None:
    question = Question("1", "The film was a joy.", ("cat", "dog"), 0)
    items = replace(LETTERS, name="films", kind=TaskKind.CLASSIFICATION, questions=(question,))
    (found,) = score_items(tiny_pair(), [items])
    assert found.dense.choice in ("cat", "dog")
    assert TOKENIZER.convert_ids_to_tokens([ids[0] for ids in found.options.tokens]) == ["Ġcat", "Ġdog"]


def test_what_was_read_for_another_item_changes_nothing() -> None:
    used, fresh = Readers(tiny_pair()), Readers(tiny_pair())
    prompts = [by_letter(TOKENIZER, LETTERS, question) for question in QUESTIONS[:2]]
    score_letters(used, LETTERS, QUESTIONS[0], prompts[0])
    second = score_letters(used, LETTERS, QUESTIONS[1], prompts[1])
    assert second == score_letters(fresh, LETTERS, QUESTIONS[1], prompts[1])
