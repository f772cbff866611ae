"""Single tokens that are read by repeating a pass's operations."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from probes.schema.part import Part
from probes.stepping.cached_model import CachedModel
from probes.twin.twin import Twin
from tests.support.tiny import moved, tiny

TOKENS = [number * 37 % 101 + 1 for number in range(60)]
PROMPT = 4


def as_ever(model) -> CachedModel:
    """The same model, whose modules always run, because one of them is watched."""
    other = copy.deepcopy(model)
    other.register_forward_hook(lambda *_: None)
    return CachedModel(other)


def read_on(model: CachedModel, start: int, end: int, rows: int = 1) -> list[torch.Tensor]:
    """The outputs after each of these tokens."""
    found = []
    for length in range(start, end):
        output = model.read([[token + row for token in TOKENS[:length]] for row in range(rows)])
        found += [output.hidden, output.logits]
    return found


def assert_same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert [torch.equal(a, b) for a, b in zip(found, expected, strict=True)] == [True] * len(expected)


@pytest.mark.parametrize(
    ("architecture", "dtype"),
    [
        ("llama", torch.float32),
        ("qwen3", torch.bfloat16),
        ("gpt_neox", torch.float32),
        ("phi", torch.float32),
        ("olmo2", torch.float32),
        ("granite", torch.float32),
    ],
)
def test_a_token_gives_the_same_bits_without_the_modules(architecture, dtype):
    model = moved(tiny(architecture), dtype)
    short = CachedModel(model)
    assert_same(read_on(short, PROMPT, 11), read_on(as_ever(model), PROMPT, 11))
    assert short.short.used


@pytest.mark.parametrize("architecture", ["mistral-sliding", "gemma2", "gpt2", "mixtral", "mamba"])
def test_what_can_not_be_written_down_is_read_as_ever_and_says_why(architecture):
    model = tiny(architecture)
    short = CachedModel(model)
    assert_same(read_on(short, PROMPT, 16), read_on(as_ever(model), PROMPT, 16))
    assert not short.short.used
    assert short.short.refused


def test_two_contexts_are_read_at_once_and_going_back_changes_nothing():
    model = tiny("llama")
    short, other = CachedModel(model), as_ever(model)
    for start, end, rows in [(PROMPT, 12, 1), (12, 20, 2), (8, 12, 2), (6, 14, 1)]:
        assert_same(read_on(short, start, end, rows), read_on(other, start, end, rows))
    assert len(short.short._courses) == 2


def test_readers_of_one_model_go_on_from_one_cache_without_disturbing_each_other():
    model = tiny("llama")
    short = CachedModel(model)
    read_on(short, PROMPT, 14)
    beside = short.apart()
    expected = read_on(as_ever(model), PROMPT, 18)[2 * (14 - PROMPT) :]
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for length in range(14, 18):
        for one, outputs in zip((short, beside), found, strict=True):
            outputs += read_on(one, length, length + 1)
    assert_same(found[0], expected)
    assert_same(found[1], expected)
    assert short.short is beside.short
    assert short.short.used


def test_every_change_of_the_model_is_seen_at_the_next_token():
    twin = Twin(tiny("llama"))
    short = CachedModel(twin.model)
    name = twin.anatomy.matrices[0].name
    half = torch.arange(twin.dense_weight(name).numel()).view(twin.shape(name)) % 2 == 0
    norm = next(module for module in twin.model.modules() if "RMSNorm" in type(module).__name__)

    changes = [
        lambda: twin.mask(name, half),
        lambda: twin.drop(Part("attn", 1)),
        lambda: twin.drop(Part("block", 2)),
        lambda: twin.restore(),
        lambda: setattr(norm.weight, "data", norm.weight * 2),
        lambda: setattr(twin.model.model.layers[0], "mlp", nn.Identity()),
    ]
    for change in changes:
        read_on(short, PROMPT, 10)
        assert short.short.used
        change()
        short.forget()
        read_on(short, PROMPT, PROMPT + 1)
        assert not short.short.used
        assert_same(read_on(short, PROMPT, 12), read_on(as_ever(twin.model), PROMPT, 12))


def test_weights_that_change_in_place_are_read_as_they_are():
    twin = Twin(tiny("llama"))
    short = CachedModel(twin.model)
    name = twin.anatomy.matrices[0].name
    half = torch.arange(twin.dense_weight(name).numel()).view(twin.shape(name)) % 2 == 0
    twin.mask(name, half)
    before = read_on(short, PROMPT, 10)
    twin.mask(name, ~half)
    short.forget()
    found = read_on(short, PROMPT, 10)
    assert_same(found, read_on(as_ever(twin.model), PROMPT, 10))
    assert not torch.equal(found[0], before[0])
    assert short.short.used


def test_a_hook_sees_every_token():
    model = tiny("llama")
    short = CachedModel(model)
    read_on(short, PROMPT, 10)
    assert short.short.used
    seen: list[torch.Tensor] = []
    hook = model.model.layers[1].mlp.register_forward_hook(lambda _module, _args, output: seen.append(output))
    read_on(short, 10, 13)
    hook.remove()
    assert len(seen) == 3
    read_on(short, 13, 15)
    assert len(seen) == 3


class Strange(nn.Module):
    """An MLP that adds something of its own."""

    def __init__(self, inner: nn.Module, adds) -> None:
        super().__init__()
        self.inner, self.adds, self.calls = inner, adds, 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.inner(hidden) + self.adds(self, hidden)


@pytest.mark.parametrize(
    "adds",
    [
        lambda own, _hidden: float(own.calls),
        lambda own, _hidden: torch.tensor(float(own.calls)),
        lambda _own, hidden: 1.0 if hidden.sum() > 0 else 2.0,
        lambda _own, hidden: torch.rand_like(hidden),
        lambda _own, hidden: hidden * (hidden > 0),
        lambda own, hidden: hidden if own.calls % 4 else -hidden,
        lambda own, hidden: hidden.mul_(1.5) if own.calls else hidden,
    ],
    ids=["a number", "a constant", "a choice", "noise", "truth values", "other operations", "in place"],
)
def test_a_model_that_does_not_do_the_same_every_time_is_read_as_ever(adds):
    model = tiny("llama")
    model.model.layers[1].mlp = Strange(model.model.layers[1].mlp, adds)
    model.eval()
    short = CachedModel(model)
    other = as_ever(model)
    torch.manual_seed(0)
    found = read_on(short, PROMPT, 16)
    torch.manual_seed(0)
    assert_same(found, read_on(other, PROMPT, 16))
    assert not short.short.used


def test_numbers_that_are_not_the_same_refuse_a_recipe(monkeypatch):
    monkeypatch.setattr(
        "probes.stepping.recipe.Recipe._append", lambda self, slot, new: self._held.__setitem__(slot, new)
    )
    model = tiny("llama")
    short = CachedModel(model)
    assert_same(read_on(short, PROMPT, 12), read_on(as_ever(model), PROMPT, 12))
    assert not short.short.used
    assert "bit" in short.short.refused
