"""Rows that pad a vocabulary belong to no token and take part in no figure."""

from __future__ import annotations

import copy

import pytest
import torch

from probes.models.vocabulary import named_ids
from probes.pair import Pair, load_pair
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from tests.support.tiny import byte_tokenizer, save, tiny

TOKENIZER = byte_tokenizer()
NAMED = len(TOKENIZER)
PADDING = 9


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = tiny("llama", vocab_size=NAMED + PADDING, tie_word_embeddings=False)
    return str(save(tmp_path_factory.mktemp("dense"), model, TOKENIZER))


def loud(folder: str, tmp_path, seed: int = 5) -> str:
    """The same model with large logits at the padding rows alone."""
    model = tiny("llama", vocab_size=NAMED + PADDING, tie_word_embeddings=False)
    model.lm_head.weight[NAMED:].normal_(std=5, generator=torch.Generator().manual_seed(seed))
    return str(save(tmp_path / "loud", model, TOKENIZER))


def steps(pair: Pair, follow: Follow = Follow.FREE) -> list[StepRecord]:
    with pair.lockstep(RunSettings("Hello", follow=follow, steps=4)) as lockstep:
        return list(lockstep)


@pytest.mark.parametrize("follow", [Follow.FREE, Follow.PRUNED])
def test_a_model_that_differs_in_padding_rows_alone_differs_in_nothing(padded, follow, tmp_path):
    pair = load_pair(PairSpec(dense=padded, pruned=loud(padded, tmp_path)))
    with torch.no_grad():
        logits = pair.pruned.model(torch.tensor([[1, 2, 3]])).logits[0, -1]
    assert int(logits.argmax()) >= NAMED, "padding would be chosen"
    for record in steps(pair, follow):
        assert record.own is not None
        assert (record.own.p.kl, record.own.p.tv, record.own.z.l2, record.own.p.cos, record.agree) == (0, 0, 0, 1, True)
        assert all(row.token_id < NAMED for row in record.own.top)


def test_the_figures_are_those_of_the_named_tokens(padded):
    pair = load_pair(PairSpec(dense=padded, prune=parse("magnitude:0.6")))
    record = steps(pair)[0]
    ids = torch.tensor([pair.prompt(RunSettings("Hello")).ids])
    with torch.no_grad():
        p, q = (m.model(ids).logits[0, -1, :NAMED].double().log_softmax(-1) for m in (pair.dense, pair.pruned))
    assert record.own is not None
    assert record.own.p.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-5)


def test_a_note_says_how_many_ids_are_left_out(padded, tmp_path):
    settings = RunSettings("Hello")
    said = f"ids, but its tokenizer names only the first {NAMED}; the others are left out of both distributions."
    for wanted in (
        PairSpec(dense=padded, prune=parse("magnitude:0.6")),
        PairSpec(dense=padded, pruned=loud(padded, tmp_path)),
    ):
        pair = load_pair(wanted)
        notes = pair.header(settings, pair.prompt(settings)).every_note
        assert [note.partition(f"{NAMED + PADDING} ")[2] for note in notes if "left out" in note] == [said]
    exact = save(tmp_path / "exact", tiny("llama", vocab_size=NAMED), TOKENIZER)
    pair = load_pair(PairSpec(dense=str(exact), prune=parse("magnitude:0.6")))
    assert not any("left out" in note for note in pair.every_note)


def test_a_padding_row_cannot_be_forced(padded):
    pair = load_pair(PairSpec(dense=padded, prune=parse("magnitude:0.6")))
    with pair.lockstep(RunSettings("Hello")) as lockstep:
        lockstep.step(dense=NAMED - 1)
        with pytest.raises(BadInput, match=f"only the first {NAMED} tokens are in both models"):
            lockstep.step(dense=NAMED)


def test_what_counts_as_named():
    assert named_ids(TOKENIZER) == NAMED
    more = copy.deepcopy(TOKENIZER)
    more.add_tokens(["<think>"])
    assert named_ids(TOKENIZER, more) == NAMED + 1, "a token that one of the tokenizers has is no padding"
    more.add_tokens([f"[PAD{NAMED + i}]" for i in range(1, 4)])
    assert named_ids(TOKENIZER, more) == NAMED + 1, "GGUF names its padding"
