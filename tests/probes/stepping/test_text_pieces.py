"""A text is read in pieces: the same figures as token by token within rounding, and the same to the bit however a step
was reached."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import pairwise

import pytest

from probes.schema.record import StepRecord
from probes.stepping import text_pieces
from probes.stepping.cached_model import CachedModel
from probes.stepping.lockstep import Lockstep
from probes.stepping.text_pieces import LONGEST, piece_of
from tests.support.stepping import damaged, lockstep
from tests.support.tiny import tiny

TEXT = [(7 * place + 3) % 90 + 1 for place in range(11)]


def stepped(architecture: str, **options) -> Lockstep:
    dense = tiny(architecture)
    return lockstep(dense, damaged(dense), "text", text=TEXT, **options)


def test_pieces_double_and_follow_each_other_without_a_gap() -> None:
    pieces = list(dict.fromkeys(piece_of(step) for step in range(1, 1000)))
    assert [len(one) for one in pieces[:9]] == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert LONGEST == 64
    assert all(one.stop == after.start for one, after in pairwise(pieces))
    assert all(step in piece_of(step) for step in range(1, 1000))


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads every token alone."""
    monkeypatch.setattr(text_pieces, "LONGEST", 1)


def figures(record: StepRecord) -> Iterator[float]:
    for comparison in filter(None, (record.own, record.shared)):
        for space in (comparison.h, comparison.z, comparison.p):
            yield from (getattr(space, name) for name in space.__slots__ if name != "angle")


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3", "mistral-sliding", "mixtral", "falcon", "bloom"])
def test_the_figures_are_those_of_reading_every_token_alone(architecture: str, monkeypatch) -> None:
    with stepped(architecture) as run:
        found = list(run)
    with monkeypatch.context() as patched:
        alone(patched)
        with stepped(architecture) as run:
            expected = list(run)
    assert len(found) == len(TEXT)
    for one, other in zip(found, expected, strict=True):
        assert one.taken.token_id == other.taken.token_id
        pairs = zip(figures(one), figures(other), strict=True)
        assert all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in pairs if isinstance(a, float))


def test_a_step_is_the_same_to_the_bit_however_it_was_reached() -> None:
    with stepped("llama") as run:
        whole = list(run)
        for step in (9, 4, 11, 1, 7):
            run.seek(whole[: step - 1])
            assert run.step() == whole[step - 1]
        run.seek(whole[:4])
        forked = run.step(dense=9)
        assert forked.own == whole[4].own, "the same context"
        after = [run.step(), run.step()]
        assert after[0].own != whole[5].own
        run.seek([*whole[:4], forked])
        assert [run.step(), run.step()] == after
    with stepped("llama") as few:
        few.prefill()
        assert [few.step() for _ in range(5)] == whole[:5]
    with stepped("llama") as one, one.continued() as beside:
        assert [one.step(), one.step(), beside.step(), beside.step()] == [*whole[:2], *whole[:2]]


def test_an_exact_copy_differs_by_exactly_0_in_pieces() -> None:
    dense = tiny("llama")
    with lockstep(dense, copy.deepcopy(dense), "text", text=TEXT) as run:
        assert {(record.own.p.kl, record.own.z.l2, record.own.h.cos) for record in run} == {(0.0, 0.0, 1.0)}


@pytest.mark.parametrize(("architecture", "passes"), [("llama", 4), ("mamba", 11)])
def test_a_piece_is_one_pass_unless_the_model_keeps_a_state(architecture: str, passes: int, monkeypatch) -> None:
    read: list[int] = []
    feed = CachedModel._feed

    def counting(model, contexts, start, end, keep=1):
        if keep:
            read.append(end - start)
        return feed(model, contexts, start, end, keep)

    monkeypatch.setattr(CachedModel, "_feed", counting)
    with stepped(architecture) as run:
        assert len(list(run)) == 11
    assert len(read) == 2 * passes
    assert sum(read) == 2 * len(TEXT)


def test_a_model_that_is_not_finite_is_named_at_its_step() -> None:
    dense = tiny("llama", tie_word_embeddings=False)
    pruned = damaged(dense)
    embedded = pruned.get_input_embeddings().weight.data
    embedded[TEXT[5]] = math.nan
    with lockstep(dense, pruned, "text", text=TEXT) as run:
        found = list(run)
    assert [record.invalid is not None for record in found[:7]] == [False] * 6 + [True]
