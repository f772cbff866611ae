"""Tiny models in the form that the loader returns, for tests that prune."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.loaded import Loaded
from probes.prune.apply import apply
from probes.schema.header import ModelInfo, PruneReport
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec
from probes.twin.twin import Twin
from tests.support.tiny import byte_tokenizer, tiny

TOKENIZER = byte_tokenizer()
FEW = CalibrationSpec(samples=6, length=20)
"""Little text: two batches where a batch is made small."""


def loaded(architecture: str, **changes: Any) -> Loaded:
    model = tiny(architecture, vocab_size=len(TOKENIZER), **changes)
    info = ModelInfo(
        architecture, architecture, "", "", type(model).__name__, 3, 32, len(TOKENIZER), 1, "float32", "cpu"
    )
    return Loaded(model, TOKENIZER, info)


def pruned(dense: Loaded, setting: str, twin: Twin | None = None) -> tuple[Twin, PruneReport]:
    twin = twin or Twin(dense.model)
    return twin, apply(twin, parse(setting), dense, FEW, keep=False)


def logits(model: PreTrainedModel, ids: Tensor | None = None) -> Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(5, 17).unsqueeze(0) if ids is None else ids, use_cache=False).logits
