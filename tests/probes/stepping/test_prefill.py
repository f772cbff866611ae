"""Long contexts are read in large pieces, and only the logits that are needed are computed."""

from __future__ import annotations

import pytest
import torch

from probes.stepping import cached_model
from probes.stepping.cached_model import CachedModel
from tests.support.tiny import tiny


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "falcon"])
def test_only_the_last_token_of_a_context_passes_the_head(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_model, "FILL", 8)
    model = tiny(architecture)
    fed: list[int] = []
    headed: list[int] = []
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(head, torch.nn.Module)
    ids = [token % 7 + 1 for token in range(29)]
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0, -1]
    embeddings.register_forward_hook(lambda _module, given, _found: fed.append(given[0].shape[1]))
    head.register_forward_hook(lambda _module, given, _found: headed.append(given[0].shape[1]))
    found = CachedModel(model).read([ids])
    torch.testing.assert_close(found.logits[0], expected, rtol=1e-4, atol=1e-4)
    assert fed[:4] == [8, 8, 8, 4], "in large pieces"
    assert sum(headed) <= 1, "a single token may be read without the model's modules"
