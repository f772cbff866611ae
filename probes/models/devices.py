"""Free memory of a device, and the device that a model's token ids must be on."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel


def available_bytes(device: torch.device) -> int:
    """Bytes that are free on this device now, including those that torch has reserved for later tensors."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reusable
    import psutil  # only here: a GPU is measured without it

    return int(psutil.virtual_memory().available)


def input_device(model: PreTrainedModel) -> torch.device:
    """The device of the embedding, or the CPU if weights are moved to the device only while they are used."""
    device = next(model.get_input_embeddings().parameters()).device
    return torch.device("cpu") if device.type == "meta" else device
