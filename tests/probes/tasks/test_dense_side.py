"""The dense model's answers are remembered, and a recalled one equals a pass to the bit."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.schema.errors import Cancelled
from probes.schema.items import Collection
from probes.schema.task_options import Pooling, TaskOptions
from probes.schema.task_results import ItemResult
from probes.stepping.cached_model import CachedModel
from probes.system.progress import Work
from probes.tasks.dense_side import DenseSide, dense_side
from probes.tasks.item_plan import Scored
from probes.tasks.remembered_model import RememberedModel
from probes.tasks.scored_items import score_items
from tests.support.scored_pairs import (
    DOCUMENTS,
    FIND,
    LETTERS,
    QUERIES,
    SAY,
    TOKENIZER,
    WORDS,
    broken_at,
    by_item,
    loaded,
    paired,
    tiny_pair,
)
from tests.support.stepping import damaged
from tests.support.tiny import moved, tiny

FEW = (
    replace(LETTERS, questions=LETTERS.questions[:1]),
    replace(WORDS, questions=WORDS.questions[1:]),
    replace(FIND, collection=Collection(DOCUMENTS[:3], QUERIES[:2])),
    replace(SAY, prompts=SAY.prompts[:1]),
)
OPTIONS = TaskOptions(new_tokens=3)


def scored(pair: Pair, side: DenseSide | None = None, items: Any = FEW, **more: Any) -> dict[tuple[str, str], Scored]:
    return by_item(score_items(pair, items, options=OPTIONS, side=side, **more))


@contextmanager
def passes(pair: Pair) -> Iterator[list[int]]:
    """The number of tokens in each pass of the dense model's first block."""
    found: list[int] = []
    block = next(module for module in pair.dense.model.modules() if isinstance(module, nn.ModuleList))[0]
    handle = block.register_forward_hook(lambda _module, args, _output: found.append(args[0].shape[1]))
    try:
        yield found
    finally:
        handle.remove()


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2", "opt", "mamba", "mixtral"])
def test_a_recalled_dense_side_gives_the_same_results_without_a_pass(architecture: str) -> None:
    pair = tiny_pair(architecture)
    alone = scored(pair)
    side = dense_side(pair.dense)
    with passes(pair) as ran:
        assert scored(pair, side) == alone
        assert ran
        assert side.grown
        recalled = dense_side(pair.dense, side.to_bytes())
        ran.clear()
        assert scored(pair, recalled, FEW[::-1]) == alone
    assert not ran
    assert not recalled.grown
    assert recalled.notes == side.notes == ()
    assert recalled.to_bytes() == side.to_bytes()


def test_another_pruned_model_recalls_what_the_first_one_found() -> None:
    pair, other = tiny_pair(), tiny_pair(noise=0.6)
    side = dense_side(pair.dense)
    done = [(one.task, one.item) for one in list(scored(pair).values())[::2] if isinstance(one, ItemResult)]
    scored(pair, side, done=done)
    few = len(side)
    assert scored(other, side) == scored(other)
    assert len(side) > few
    with passes(other) as ran:
        assert scored(other, side, done=done) == scored(other, done=done)
        ran_alone = len(ran)
    assert ran_alone > 0
    with passes(other) as ran:
        scored(other, side)
    assert not ran


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
@pytest.mark.parametrize("broken", ["dense", "pruned"])
def test_a_model_that_computes_nan_half_way_gives_the_same_results(architecture: str, broken: str) -> None:
    dense = tiny(architecture, vocab_size=len(TOKENIZER))
    whole = paired(dense, damaged(dense, 0.3))
    read: list[list[list[int]]] = []
    handle = dense.get_input_embeddings().register_forward_hook(lambda _m, args, _output: read.append(args[0].tolist()))
    side = dense_side(whole.dense)
    scored(whole, side, [FEW[3]])
    handle.remove()
    # The token that the dense model reads at its second step, and in no prompt.
    said = next(one for one in reversed(read) if one not in read[: read.index(one)])[0][0]
    halves = [copy.deepcopy(dense), damaged(dense, 0.3)]
    place = ("dense", "pruned").index(broken)
    halves[place] = broken_at(halves[place], said)
    pair = paired(*halves)
    alone = scored(pair, items=[FEW[3]])
    [found] = alone.values()
    assert found.generation.steps < OPTIONS.new_tokens
    assert bool(found.notes) == (broken == "dense")
    known = side if broken == "pruned" else dense_side(pair.dense)
    for _ in range(2):
        assert repr(scored(pair, known, [FEW[3]])) == repr(alone)


def calls(one: CachedModel, chance: random.Random) -> list[Tensor]:
    """What a model gives when it is asked many things in an order drawn at random."""
    words = [chance.randrange(1, 100) for _ in range(12)]
    found = []
    for _ in range(12):
        length = chance.randrange(2, 12)
        contexts = [words[:length], [*words[: length - 1], 7]][: chance.randrange(1, 3)]
        match chance.randrange(8):
            case 0:
                one.forget()
            case 1:
                found.append(one.mean_state(contexts[0], chance.randrange(length)))
            case 2:
                assert one.first_nonfinite(contexts) == ""
            case 3:
                found.append(one.states(contexts[0]))
            case 4:
                found.append(one.read_on([contexts[0]], one.memory(contexts[0])).logits)
            case 5:
                apart = one.apart().read(contexts)
                found += [apart.hidden, apart.logits]
            case 6:
                with pytest.raises(Cancelled):
                    one.read([[*words, *words]], Work(cancelled=lambda: True))
                one.forget()
            case _:
                for _ in range(chance.randrange(1, 3)):
                    output = one.read_last(contexts, chance.randrange(1, length))
                    found += [output.hidden, output.logits]
                output = one.read(contexts)
                found += [output.hidden, output.logits]
    return found


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
def test_whatever_is_known_a_model_gives_what_one_gives_that_remembers_nothing(architecture: str) -> None:
    model = loaded(tiny(architecture), "dense")
    side = dense_side(model)
    for seed in range(4):
        expected = calls(CachedModel(model.model), random.Random(seed))
        remembering = calls(RememberedModel(model.model, side), random.Random(seed))
        some = part_of(side, model, random.Random(seed))
        partly = calls(RememberedModel(model.model, some), random.Random(seed))
        recalling = calls(RememberedModel(model.model, side), random.Random(seed))
        for found in (remembering, partly, recalling):
            assert len(found) == len(expected)
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert not side.unproven


def part_of(side: DenseSide, model: Loaded, chance: random.Random) -> DenseSide:
    """About half of what is known."""
    some = dense_side(model)
    for place, state in side._states.items():
        if chance.random() < 0.5:
            some.add(place, state)
    return some


def test_outputs_that_the_head_alone_does_not_give_again_are_computed_each_time_with_a_note() -> None:
    pair = tiny_pair()
    dense = copy.deepcopy(pair.dense.model)
    dense.get_output_embeddings().register_forward_pre_hook(lambda _module, args: (args[0] * 0.5,))
    pair = paired(dense, damaged(dense, 0.3))
    side = dense_side(pair.dense)
    alone = scored(pair)
    assert scored(pair, side) == alone
    [note] = side.notes
    assert "outputs of the dense model can't be made again" in note
    assert scored(pair, dense_side(pair.dense, side.to_bytes())) == alone


def test_damaged_bytes_are_left_out_with_a_note() -> None:
    model = loaded(tiny("llama"), "dense")
    side = dense_side(model)
    remembered = RememberedModel(model.model, side)
    remembered.read([[3, 5, 7]])
    remembered.first_nonfinite([[3]])
    kept = side.to_bytes()
    assert len(dense_side(model, kept)) == 2
    chance = random.Random(0)
    spoiled = [kept[:cut] for cut in (1, 8, 100, len(kept) - 1)] + [kept + b"x", b"not a file", b"\xff" * 40]
    places = (*range(12), *(chance.randrange(len(kept)) for _ in range(40)), len(kept) - 1)
    spoiled += [
        kept[:place] + bytes([kept[place] ^ (1 << chance.randrange(8))]) + kept[place + 1 :] for place in places
    ]
    for one in spoiled:
        found = dense_side(model, one)
        assert not len(found)
        assert found.notes == ("The kept dense side is damaged, so it is computed again.",)


def test_answers_of_another_model_or_another_number_of_threads_are_left_out_with_a_note() -> None:
    model = loaded(tiny("llama"), "dense")
    side = dense_side(model)
    RememberedModel(model.model, side).read([[3, 5, 7]])
    kept = side.to_bytes()
    others = {
        "dense model": loaded(tiny("llama", 1), "dense"),
        "configuration": loaded(tiny("llama", rms_norm_eps=0.1), "dense"),
        "dtype": loaded(moved(tiny("llama"), torch.float64), "dense"),
        "device": Loaded(model.model, model.tokenizer, replace(model.info, device="elsewhere")),
    }
    others["dtype"] = replace(others["dtype"], info=replace(model.info, fingerprint=side.made_by["dense model"]))
    model_made = replace(model, info=replace(model.info, fingerprint=side.made_by["dense model"]))
    assert dense_side(model_made, kept).notes == ()
    for name, other in others.items():
        [note] = dense_side(other, kept).notes
        assert note.startswith(f"The kept dense side has another {name} (")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        [note] = dense_side(model, kept).notes
    finally:
        torch.set_num_threads(before)
    assert f"another number of threads ({before}, not {before + 1})" in note


def test_a_model_without_weights_in_memory_and_without_files_is_like_no_other() -> None:
    model = loaded(tiny("llama"), "dense")
    model.model.get_output_embeddings().weight = nn.Parameter(torch.empty(1, device="meta"), requires_grad=False)
    side = dense_side(model)
    side.add("a", torch.zeros(1))
    assert not len(dense_side(model, side.to_bytes()))


@pytest.mark.parametrize("pooling", list(Pooling))
def test_a_text_is_embedded_by_its_last_state_or_their_mean(pooling: Pooling) -> None:
    pair = tiny_pair()
    options = TaskOptions(pooling)
    side = dense_side(pair.dense)
    alone = by_item(score_items(pair, [FIND], options=options))
    assert by_item(score_items(pair, [FIND], options=options, side=side)) == alone
    assert by_item(score_items(pair, [FIND], options=options, side=side)) == alone
