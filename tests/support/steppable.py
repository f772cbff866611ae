"""Models that no other test steps, with weights that make every token matter, as the loader returns them."""

from __future__ import annotations

import torch
from transformers import (
    PreTrainedModel,
)

from probes.models.loaded import Loaded
from probes.schema.header import ModelInfo


def spread(model: PreTrainedModel) -> PreTrainedModel:
    """Weights large enough for every token to matter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and not name.endswith("A_log"):
                parameter.normal_(std=0.2, generator=generator)
    return model.requires_grad_(False).eval()


def loaded(model: PreTrainedModel) -> Loaded:
    info = ModelInfo("m", "m", "", "", type(model).__name__, 2, 32, 128, 1, "float32", "cpu")
    return Loaded(model, None, info)  # type: ignore[arg-type]
