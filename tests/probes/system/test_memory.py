"""Memory that ran out: the error says so in a sentence, and keeps nothing of the failed work in memory."""

from __future__ import annotations

import weakref

import pytest
import torch

from probes.models.error_boundary import error_boundary
from probes.schema.errors import Failure
from probes.stepping.cached_model import CachedModel
from probes.system.memory import ran_out
from tests.support.tiny import tiny

SAID = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.20 GiB is free."
)
ADVICE = (
    " Including non-PyTorch memory, this process has 77.90 GiB memory in use. If reserved but unallocated memory is "
    "large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)


class Fails(torch.nn.Module):
    """Runs out of memory with a tensor in its hands."""

    def __init__(self) -> None:
        super().__init__()
        self.computed: weakref.ref[torch.Tensor] | None = None

    def forward(self, *_given: object, **_named: object) -> torch.Tensor:
        so_far = torch.ones(8)
        self.computed = weakref.ref(so_far)
        raise torch.OutOfMemoryError(SAID + ADVICE)


def test_the_message_is_without_advice_for_programmers() -> None:
    assert ran_out(torch.OutOfMemoryError(SAID + ADVICE)) == SAID


def test_a_reading_that_fails_frees_what_it_had_computed_though_the_error_is_kept() -> None:
    model, fails = tiny("llama"), Fails()
    model.model.layers[1].mlp = fails
    with pytest.raises(Failure) as failed:
        CachedModel(model).read([[5, 6, 7]])
    assert str(failed.value).count("GiB") == 3
    assert fails.computed is not None
    assert fails.computed() is None


def test_a_stage_that_fails_frees_what_it_had_computed_though_the_error_is_kept() -> None:
    fails = Fails()
    with pytest.raises(Failure, match="Out of memory: x is too large: CUDA"), error_boundary("x", "x is too large"):
        fails()
    assert fails.computed is not None
    assert fails.computed() is None
