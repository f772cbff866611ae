"""Equal weights give equal figures wherever their files' headers put them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from probes.models import aligned
from probes.models.aligned import BYTES, align, move
from probes.models.loaded import load
from tests.support.misaligned import Shifted
from tests.support.tiny import byte_tokenizer, save, tiny

MODEL_SIZE = len(byte_tokenizer())


def test_weights_are_moved_with_their_values_and_what_they_share():
    model = Shifted()
    assert model.first.data_ptr() % BYTES
    values, third = model.first.clone(), model.third.data_ptr()
    move(model)
    assert all(parameter.data_ptr() % BYTES == 0 for parameter in model.parameters())
    assert torch.equal(model.first, values)
    assert model.first.data_ptr() == model.second.data_ptr()
    assert model.third.data_ptr() == third, "what is aligned stays where it is"


@pytest.mark.parametrize("depends", [True, False])
def test_models_are_moved_only_if_it_matters_here(depends, tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(aligned, "sums_depend_on_place", lambda: depends)
    folder = save(tmp_path / "model", tiny("llama", vocab_size=MODEL_SIZE), byte_tokenizer())
    file = folder / "model.safetensors"
    for length in (0, 8, 24):  # of the header; one of them at least is beside a multiple of 64
        save_file(load_file(file), file, metadata={"format": "pt", "padding": "x" * length})
        places = {parameter.data_ptr() % BYTES for parameter in load(str(folder)).model.parameters()}
        if depends:
            assert places == {0}
    model = Shifted()
    align(model)
    assert bool(model.first.data_ptr() % BYTES) == (not depends)


TRIED = """
import torch
from tests.support.misaligned import Shifted
from probes.models.aligned import align
numbers, results = torch.Generator().manual_seed(0), set()
for words in range(16):
    model = Shifted()
    matrix = torch.randn(64, 64, generator=numbers.manual_seed(0))
    model.first.data = torch.empty(64 * 64 + 16)[words : words + 64 * 64].view(64, 64).copy_(matrix)
    align(model)
    results.add(tuple(torch.nn.functional.linear(torch.ones(1, 64) / 3, model.first.data)[0].tolist()))
print(len(results))
"""


@pytest.mark.parametrize("instructions", ["", "SSE4_2"])
def test_a_product_is_the_same_at_every_place(instructions):
    """The older instructions stand for processors on which places matter."""
    given = {**os.environ, "MKL_ENABLE_INSTRUCTIONS": instructions} if instructions else dict(os.environ)
    found = subprocess.run([sys.executable, "-c", TRIED], env=given, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"
