"""On a GPU nothing reads what another stream may still compute: checked on paper, as a CPU does all in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from probes.bench.gpu_checks import CHECKS, ONCE
from probes.explain.step import KINDS_FOUND, explain
from probes.schema.settings import Follow, RunSettings
from probes.stepping import graphed_model
from probes.stepping.cache_check import check_steppable
from probes.stepping.cached_model import CachedModel
from probes.stepping.graphed_model import GraphedModel
from probes.stepping.lockstep import Lockstep
from tests.support.prune_models import loaded
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.streams import UnorderedRead, streams_on_paper
from tests.support.tiny import tiny

TEXT = range(1, 14)


def test_a_forgotten_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with streams_on_paper(monkeypatch), torch.inference_mode():
        model, other = CachedModel(tiny("llama")), CachedModel(tiny("llama"), 1)
        output = model.read([PROMPT])
        with pytest.raises(UnorderedRead, match="on default reads what lane 0 computes"):
            output.logits + 1
        with pytest.raises(UnorderedRead), other._on_stream():
            output.logits + 1
        model.join()
        assert (output.logits + 1).shape == output.logits.shape
        with other._on_stream():
            assert (output.logits + 1).shape == output.logits.shape


@pytest.mark.parametrize("made", [CachedModel, GraphedModel])
@pytest.mark.parametrize("follow", ["dense", "free", "text"])
def test_steps_forks_and_explanations(made: type[CachedModel], follow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed_model, "LEAST_ROOM", 8)  # so that it grows
    dense = tiny("llama")
    settings = RunSettings("", follow=Follow(follow), steps=12, text="text" if follow == "text" else "")
    text = TEXT if follow == "text" else ()
    with streams_on_paper(monkeypatch) as streams:
        models = made(dense, 0), made(damaged(dense), 1)
        with Lockstep(*models, Words(), PROMPT, settings, text_ids=text) as both:
            path = [both.step() for _ in range(8)]
            both.seek(path[:3])
            both.step(**({} if follow == "text" else {"dense": 9}))
            with both.continued() as beside:
                beside.step()
            explain(both, range(3, 4), KINDS_FOUND, inside="worst")
            both.seek(path)
            both.step()
        assert streams.unordered == []


@pytest.mark.parametrize(
    ("architecture", "changes"),
    [("granite", {}), ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}})],
    ids=["an architecture that is checked", "rotary factors that change"],
)
def test_the_check_of_a_model_and_readings_of_several_positions(
    architecture: str, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = loaded(architecture, **changes)
    with streams_on_paper(monkeypatch) as streams, torch.inference_mode():
        check_steppable(checked)
        one = CachedModel(checked.model)
        readings: list[Callable[[], Tensor]] = [
            lambda: one.read_last([PROMPT], 1).logits,
            lambda: one.read_last([PROMPT, PROMPT], 3).logits,
            lambda: one.states(PROMPT),
            lambda: one.mean_state(PROMPT, 2),
        ]
        for reading in readings:
            found = reading()
            one.join()
            assert bool(found.isfinite().all())
        assert streams.unordered == []


@pytest.mark.parametrize("name", ["exact copy", "cached and full pass", "static cache", "out of memory", "device map"])
def test_the_checks_of_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with streams_on_paper(monkeypatch) as streams:
        value, limit, _ = {**CHECKS, **ONCE}[name](tiny("llama"), [*PROMPT, *TEXT])
        assert value <= limit
        assert streams.unordered == []
