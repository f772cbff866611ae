"""Whether a model still is what it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from probes.models.model_state import ModelState, is_observed
from tests.support.tiny import tiny


def changes():
    def weight(model):
        matrix = model.model.layers[0].mlp.up_proj
        matrix.weight = copy.deepcopy(matrix.weight)

    def data(model):
        norm = model.model.norm.weight
        norm.data = norm.data.clone()

    def module(model):
        model.model.layers[1].mlp = copy.deepcopy(model.model.layers[1].mlp)

    def layer(model):
        del model.model.layers[-1]

    def added(model):
        model.model.register_buffer("more", torch.zeros(1))

    def kernel(model):
        model.set_attn_implementation("eager")

    return [weight, data, module, layer, added, kernel]


@pytest.mark.parametrize("change", changes(), ids=lambda one: one.__name__)
def test_what_was_replaced_is_noticed(change):
    model = tiny("llama")
    state = ModelState(model)
    assert state.current
    change(model)
    assert not state.current


def test_other_code_of_a_class_is_noticed(monkeypatch):
    model = tiny("llama")
    state = ModelState(model)
    norm = type(model.model.norm)
    forward = norm.forward
    monkeypatch.setattr(norm, "forward", lambda self, hidden: forward(self, hidden))
    assert not state.current


def test_what_was_written_in_place_is_the_same():
    model = tiny("llama")
    state = ModelState(model)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    assert state.current
    assert state.on_cpu
    assert not ModelState(nn.Linear(2, 2, device="meta")).on_cpu


def watchers():
    def hook(model, _stack):
        return model.model.norm.register_forward_hook(lambda *_: None).remove

    def hook_before(model, _stack):
        return model.model.layers[0].register_forward_pre_hook(lambda *_: None).remove

    def everywhere(_model, _stack):
        return nn.modules.module.register_module_forward_hook(lambda *_: None).remove

    def exchanged(model, stack):
        stack.setitem(model.model.norm.__dict__, "forward", lambda hidden: hidden)
        return stack.undo

    def training(model, _stack):
        model.model.norm.train()
        return model.eval

    return [hook, hook_before, everywhere, exchanged, training]


@pytest.mark.parametrize("watch", watchers(), ids=lambda one: one.__name__)
def test_what_watches_or_changes_a_module_is_noticed(watch, monkeypatch):
    model = tiny("llama")
    state = ModelState(model)
    assert not state.watched
    end = watch(model, monkeypatch)
    assert state.watched
    assert state.current
    end()
    assert not state.watched


def test_modes_of_torch_are_noticed():
    with torch.inference_mode():
        assert not is_observed()
        with torch.device("cpu"):
            assert is_observed()
        with torch.autocast("cpu", torch.bfloat16):
            assert is_observed()
    assert is_observed()
