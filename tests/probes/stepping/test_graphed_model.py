"""Steps with a cache of fixed size: what a GPU captures is carried out here as it is, and gives the same figures."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import PreTrainedModel

from probes.explain.step import explain
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.stepping import graphed_model
from probes.stepping.cached_model import CachedModel
from probes.stepping.graphed_model import GraphedModel, graphed
from probes.stepping.lockstep import Lockstep
from tests.support.prune_models import loaded, pruned
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

GRAPHED = ("llama", "qwen3", "phi3", "granite", "gpt2", "mixtral")


def stepping(dense: CachedModel | PreTrainedModel, second: CachedModel | PreTrainedModel, follow: str) -> Lockstep:
    return Lockstep(dense, second, Words(), PROMPT, RunSettings("", follow=Follow(follow), steps=40))


def wander(lockstep: Lockstep) -> list[StepRecord]:
    """Steps, goes back, forks, and returns to the first branch."""
    with lockstep as one:
        found = [one.step() for _ in range(8)]
        first = list(one.path)
        one.seek(first[:2])
        found += [one.step(dense=9), one.step()]
        one.seek(first)
        return [*found, one.step()]


def close(found: list[StepRecord], expected: list[StepRecord]) -> bool:
    kls = [[record.own.p.kl for record in path if record.own] for path in (found, expected)]
    tokens = [[(record.dense, record.pruned) for record in path] for path in (found, expected)]
    ids = [[tuple(one and one.token_id for one in pair) for pair in path] for path in tokens]
    return ids[0] == ids[1] and kls[0] == pytest.approx(kls[1], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("architecture", GRAPHED)
def test_figures_are_those_of_the_ordinary_cache(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphed_model, "LEAST_ROOM", 8)  # so that it grows
    dense = tiny(architecture)
    second = damaged(dense)
    pair = graphed(dense, second)
    assert pair[0].refused == ""
    found = wander(stepping(*pair, "free"))
    assert any(not record.same_context for record in found), "the pruned model reads two contexts"
    assert close(found, wander(stepping(dense, second, "free")))
    assert pair[0].refused == ""


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_an_exact_copy_differs_in_nothing(architecture: str) -> None:
    model = tiny(architecture)
    found = wander(stepping(*graphed(model, copy.deepcopy(model)), "dense"))
    assert [record.own.p.kl for record in found if record.own] == [0.0] * len(found)


@pytest.mark.parametrize("architecture", ["gemma2", "mistral-sliding", "mamba"])
def test_what_has_no_graph_is_stepped_as_ever(architecture: str) -> None:
    dense = tiny(architecture)
    second = damaged(dense)
    pair = graphed(dense, second)
    assert pair[0].refused
    assert f"The models are stepped without graphs. {type(dense).__name__} has no graph: " in pair[0].take_news()
    assert [one.take_news() for one in pair] == ["", ""]
    assert wander(stepping(*pair, "free")) == wander(stepping(dense, second, "free"))


@pytest.mark.parametrize("without", ["dense", "pruned"])
@pytest.mark.parametrize("at", [1, 5])
def test_if_one_model_has_no_graph_neither_has_and_an_exact_copy_differs_in_nothing(
    without: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphed_model, "LEAST_ROOM", 8 if at > 1 else 64)  # so that a larger one is made on the way
    model = tiny("llama")
    pair = graphed(model, copy.deepcopy(model))
    capture, there = graphed_model._StaticStep.capture, pair[without == "pruned"]

    def fails(step: graphed_model._StaticStep, stream: None) -> None:
        if step._owner is there and len(run.path) >= at - 1:
            raise RuntimeError("no room")
        capture(step, stream)

    monkeypatch.setattr(graphed_model._StaticStep, "capture", fails)
    with stepping(*pair, "dense") as run:
        found = [run.step() for _ in range(at - 1)]
        assert pair[0].refused == ""
        while not pair[0].refused:
            found.append(run.step())
        assert len(found) >= at
        found += [run.step() for _ in range(3)]
        assert run.take_news() == (
            "The models are stepped without graphs. LlamaForCausalLM has no graph: none could be made: RuntimeError: "
            "no room."
        )
        assert run.take_news() == ""
    assert all(record.own and record.own.p.kl == 0 and record.own.z.l2 == 0 for record in found)


def test_a_graph_with_other_logits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    broken = graphed_model._StaticStep.__call__
    monkeypatch.setattr(graphed_model._StaticStep, "__call__", lambda step, last, at: broken(step, last, at + 1))
    one = GraphedModel(model)
    output = one.start([PROMPT]).result()
    assert "differ by" in one.refused
    assert torch.equal(output.logits, CachedModel(model).read([PROMPT]).logits)


@pytest.mark.parametrize("said", ["operation not permitted when stream is capturing", ""])
def test_a_graph_that_can_not_be_made_is_refused(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(step: object, stream: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(graphed_model._StaticStep, "capture", impossible)
    one = GraphedModel(tiny("llama"))
    output = one.start([PROMPT]).result()
    assert one.refused.endswith(f"RuntimeError: {said}")
    assert torch.equal(output.logits, CachedModel(one.model).read([PROMPT]).logits)
    assert one.start([[*PROMPT, 3]]).result().finite


@pytest.mark.parametrize("setting", ["magnitude:0.5", "drop-attn:1", "drop-block:1"])
def test_pruning_makes_another_graph(setting: str) -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.2")
    one = GraphedModel(twin.model)
    one.start([PROMPT]).result()
    first = one._step
    pruned(dense, setting, twin)
    one.forget() if setting.startswith("drop") else None  # another layer's cache has another shape
    context = [*PROMPT, 3]
    found = one.start([context]).result().logits
    assert one.refused == ""
    assert one._step is not first
    expected = CachedModel(twin.model).read([context]).logits
    if setting.startswith("drop"):
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    else:  # its cache is that of the model as it was
        assert not torch.allclose(found, CachedModel(dense.model).read([context]).logits, rtol=1e-3)


def test_everything_else_goes_on_from_what_was_read() -> None:
    dense = tiny("llama")
    second = damaged(dense)
    with stepping(*graphed(dense, second), "free") as both:
        path = [both.step() for _ in range(4)]
        found = explain(both, range(3, 4), ["layers", "swaps", "quadrants"]).found
        path.append(both.step())
    with stepping(dense, second, "free") as both:
        expected = [both.step() for _ in range(4)]
        slow = explain(both, range(3, 4), ["layers", "swaps", "quadrants"]).found
        expected.append(both.step())
    assert close(path, expected)
    kls = [[one.kl_drop for one in kinds["swaps"].heal] for kinds in (found, slow)]
    assert kls[0] == pytest.approx(kls[1], rel=1e-3, abs=1e-7)
