"""The checks of a GPU, which run where torch has one: `python -m pytest tests/device -rs` says why they were skipped.

PHIER_TEST_DEVICE=cpu runs those that need no GPU's own counters on the CPU, to try the checks themselves out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from probes.models.loaded import Loaded, load
from probes.schema.spec import LoadOptions
from tests.support.programs import SKIPPED
from tests.support.tiny import save, wide_tokenizer

DEVICE = os.environ.get("PHIER_TEST_DEVICE", "cuda")
ON_GPU = DEVICE != "cpu"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    absent = pytest.mark.skip(reason=f"{SKIPPED}the GPU's paths, as torch {torch.__version__} has no CUDA GPU here")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            if ON_GPU and not torch.cuda.is_available():
                item.add_marker(absent)


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda", 0) if ON_GPU else torch.device(DEVICE)


@pytest.fixture
def gpu(device: torch.device) -> torch.device:
    """The device of a check that reads a GPU's own counters."""
    if device.type != "cuda":
        pytest.skip(f"{device} has no counters of its own")
    return device


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model's folder: of the size of a small real one on a GPU, bfloat16, with a tokenizer of all its ids."""
    tokenizer = wide_tokenizer(128_000 if ON_GPU else 500)
    return save(tmp_path_factory.mktemp("large"), _large(len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def large_loaded(large: Path, device: torch.device) -> Loaded:
    """Shared by all checks, which change nothing in it."""
    return load(str(large), LoadOptions(str(device), "bfloat16"))


def _large(vocabulary: int) -> PreTrainedModel:
    sizes: dict[str, Any] = {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
    }
    if not ON_GPU:
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlamaConfig(
        **sizes,
        vocab_size=vocabulary,
        num_key_value_heads=sizes["num_attention_heads"] // 4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    with torch.random.fork_rng(), torch.device(DEVICE):
        torch.manual_seed(0)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        try:
            model = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(before)
    with torch.no_grad():
        model.model.norm.weight.mul_(4)  # a distribution that is far from uniform
    return model.requires_grad_(False).eval()
