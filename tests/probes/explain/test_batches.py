"""Exchanges that share a batch give the logits of single passes, and a batch is only used if its control is exact."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from probes.explain import swaps
from probes.explain.batches import Batch, through_blocks, width_of
from probes.explain.culprits import measure_swaps
from probes.explain.pieces import pieces_of
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges
from probes.schema.part import Part
from tests.support.explaining import CONTEXT, EXPLAINED, two
from tests.support.tiny import tiny


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The width of every batch that was read, and whether its first row ended as the recorded run."""
    found: list[tuple[int, bool]] = []
    through = through_blocks

    def watched(batches, *rest):
        through(batches, *rest)
        recorded = rest[2]
        assert recorded
        found.extend((len(batch.rows), bool(torch.isfinite(batch.stream).all())) for batch in batches)

    monkeypatch.setattr(swaps, "through_blocks", watched)
    return found


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_rows_of_a_batch_are_the_single_passes(architecture: str, threads: int, ends: list[tuple[int, bool]]) -> None:
    _, _, sublayers = two(architecture)
    for base, other in ((sublayers.pruned, sublayers.dense), (sublayers.dense, sublayers.pruned)):
        exchanges = Exchanges(sublayers, base, other, CONTEXT, 3)
        singles = [exchanges.exchanged(part) for part in sublayers.parts]
        exchanges._width = 8
        for logits, single in zip(exchanges.each(sublayers.parts), singles, strict=True):
            assert torch.allclose(logits, single, rtol=1e-4, atol=1e-5)
            assert logits.shape == (3, single.shape[1])
    assert [width for width, _ in ends] == [6, 6]


def test_heads_and_matrices_share_batches_too(ends: list[tuple[int, bool]]) -> None:
    _, _, sublayers = two("qwen3")
    for level in ("matrix", "head"):
        pieces, _ = pieces_of(sublayers, level, sublayers.parts)
        exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, 1)
        for logits, piece in zip(exchanges.each(pieces), pieces, strict=True):
            assert torch.allclose(logits, exchanges.exchanged(piece), rtol=1e-4, atol=1e-5)
    assert {width for width, _ in ends} <= {4, 5, 6, 7, 8}
    assert len(ends) > 4


def test_a_batch_whose_control_is_not_exact_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, sublayers = two("llama")
    exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, 1)
    singles = [exchanges.exchanged(part) for part in sublayers.parts]
    advance = Batch.advance

    def moved(self: Batch, layer: int, *rest: object) -> None:
        advance(self, layer, *rest)  # type: ignore[arg-type]
        if self.stream is not None and layer == 1:
            self.stream = self.stream * (1 + 2**-20)

    monkeypatch.setattr(Batch, "advance", moved)
    found = exchanges.each(sublayers.parts)
    assert all(torch.equal(*pair) for pair in zip(found, singles, strict=True))
    assert exchanges.together == exchanges.lanes

    def fails(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Batch, "advance", fails)
    exchanges.each(sublayers.parts)  # no batch is tried again


def test_an_exact_copy_heals_nothing_in_a_batch(threads: int, ends: list[tuple[int, bool]]) -> None:
    dense = tiny("llama", num_hidden_layers=6)
    found = measure_swaps(take_apart(dense, copy.deepcopy(dense)), CONTEXT)
    assert {one.kl_after for one in (*found.heal, *found.damage)} == {0}
    assert ends


def test_others_have_a_turn_between_two_blocks() -> None:
    _, _, sublayers = two("llama")
    exchanges = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, 1)
    turns: list[Tensor] = []
    exchanges.each(sublayers.parts, lambda: turns.append(exchanges.logits))
    assert len(turns) == 3 + 1  # and before the head
    turns.clear()
    exchanges.each([Part("attn", 0), Part("mlp", 2)], lambda: turns.append(exchanges.logits))
    assert 1 <= len(turns) <= 2


def test_long_contexts_have_no_batches() -> None:
    assert [width_of(tokens) for tokens in (1, 64, 65, 128, 129, 4000)] == [8, 8, 7, 4, 1, 1]
