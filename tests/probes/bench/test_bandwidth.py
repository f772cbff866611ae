"""The floor of a step: the weights that a pass reads, over the bytes that the memory gives a second."""

from __future__ import annotations

import pytest
import torch

from probes.bench.bandwidth import Bandwidth, Floor, measure_bandwidth, weights_read
from probes.prune.apply import apply
from probes.schema.prune_setting import parse
from probes.twin.twin import Twin
from tests.support.prune_models import loaded
from tests.support.tiny import tiny

FLOATS = 4


def test_a_tied_embedding_is_read_once_and_an_untied_one_in_one_row() -> None:
    tied, untied = (tiny("llama", tie_word_embeddings=tie) for tie in (True, False))
    table = 128 * 32 * FLOATS
    every = sum(one.numel() for one in tied.parameters()) * FLOATS
    assert weights_read(tied) == every
    assert weights_read(untied) == every + 32 * FLOATS
    assert sum(one.numel() for one in untied.parameters()) * FLOATS == every + table


def test_a_dropped_layer_is_not_read() -> None:
    dense = loaded("llama")
    twin = Twin(dense.model)
    gone = sum(one.nbytes for one in dense.model.model.layers[1].self_attn.parameters())
    apply(twin, parse("drop-attn@layers=1"), dense, keep=False)
    assert weights_read(twin.model) == weights_read(dense.model) - gone


def test_the_floor_divides_by_the_faster_reading() -> None:
    found = Floor(6_000, Bandwidth("cpu", 2, 100, summing=1_000.0, multiplying=3_000.0))
    assert found.seconds == 2.0


@pytest.mark.parametrize("size", [2**16, 2**20])
def test_the_bandwidth_is_that_of_a_tensor_of_this_size(size: int) -> None:
    found = measure_bandwidth(torch.device("cpu"), size=size, rounds=2)
    assert (found.size, found.device, found.threads) == (size, "cpu", torch.get_num_threads())
    assert min(found.summing, found.multiplying) > 0
