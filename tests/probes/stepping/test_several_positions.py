"""A model read at several positions of one context, and its states at every token."""

from __future__ import annotations

import pytest
import torch

from probes.models.rotary import Rotary
from probes.schema.errors import Cancelled
from probes.stepping.cached_model import CachedModel
from probes.system.progress import Work
from tests.support.explaining import CONTEXT, plain
from tests.support.tiny import ARCHITECTURES, MORE, tiny

ELSEWHERE = [*CONTEXT[:5], 3, 4, 9]


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE, "granite", "cohere"])
def test_the_last_positions_are_those_of_one_plain_pass(architecture: str) -> None:
    model = tiny(architecture)
    cached = CachedModel(model)
    cached.read([ELSEWHERE])
    output = cached.read_last([CONTEXT], 4)
    torch.testing.assert_close(output.logits, plain(model)[-4:], rtol=1e-4, atol=1e-4)
    head = model.get_output_embeddings()
    with torch.no_grad():
        single = cached.read([CONTEXT])
        states = cached.states(CONTEXT)
    torch.testing.assert_close(states[-4:], output.hidden, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(states[-1:], single.hidden, rtol=1e-4, atol=1e-4)
    assert states.shape == (len(CONTEXT), head.weight.shape[1])  # type: ignore[union-attr]


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mamba"])
def test_what_was_read_before_changes_nothing(architecture: str) -> None:
    fresh, used = CachedModel(tiny(architecture)), CachedModel(tiny(architecture))
    used.read([CONTEXT])
    used.states(CONTEXT)
    assert torch.equal(fresh.states(ELSEWHERE), used.states(ELSEWHERE))
    for one in (fresh, used):
        one.read([CONTEXT])
    used.read_last([[*CONTEXT, 9, 9]], 3)
    assert torch.equal(fresh.read_last([[*CONTEXT, 5, 6]], 3).logits, used.read_last([[*CONTEXT, 5, 6]], 3).logits)
    assert torch.equal(fresh.read([CONTEXT]).logits, used.read([CONTEXT]).logits)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "mamba"])
def test_several_contexts_are_read_at_once(architecture: str) -> None:
    model = tiny(architecture)
    cached = CachedModel(model)
    cached.read([CONTEXT[:8]])
    contexts = [CONTEXT, [*CONTEXT[:9], 4, 5, 6], [*CONTEXT[:10], 7, 7]]
    output = cached.read_last(contexts, 3)
    expected = torch.cat([plain(model, one)[-3:] for one in contexts])
    torch.testing.assert_close(output.logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(cached.read([CONTEXT]).logits, plain(model)[-1:], rtol=1e-4, atol=1e-4)


def test_a_single_position_is_what_a_step_reads() -> None:
    model = tiny("llama")
    assert torch.equal(CachedModel(model).read_last([CONTEXT], 1).logits, CachedModel(model).read([CONTEXT]).logits)


def test_all_positions_of_a_context_can_be_read() -> None:
    model = tiny("gpt2")
    read = CachedModel(model).read_last([CONTEXT], len(CONTEXT))
    torch.testing.assert_close(read.logits, plain(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("positions", [0, len(CONTEXT) + 1])
def test_positions_that_are_not_there_are_an_error(positions: int) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        CachedModel(tiny("llama")).read_last([CONTEXT], positions)


def test_positions_with_other_rotary_factors_are_read_one_by_one() -> None:
    parameters = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
    model = tiny("llama", max_position_embeddings=8, rope_parameters=parameters)
    assert Rotary(model)
    read = CachedModel(model).read_last([CONTEXT], 3)
    alone = [CachedModel(model).read([CONTEXT[:end]]).logits for end in range(len(CONTEXT) - 2, len(CONTEXT) + 1)]
    assert torch.equal(read.logits, torch.cat(alone))


def test_reading_states_can_be_cancelled() -> None:
    cached = CachedModel(tiny("llama"))
    with pytest.raises(Cancelled):
        cached.states(CONTEXT, Work(cancelled=lambda: True))
    assert cached.states(CONTEXT).shape[0] == len(CONTEXT)
