"""One number for all of a model's weights, and one for how it uses them."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from transformers import PreTrainedModel

_THREADS = 4
_OF_NO_EFFECT = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "use_cache"}
"""What a configuration says about a file, or about what the weights themselves tell."""


def fingerprint(model: PreTrainedModel) -> str:
    """SHA-256, hex, over the names, shapes, dtypes and bytes of all weights, sorted by name; tied weights once.

    Neither the device nor the order of the weights in memory changes it; one bit of one weight does. It is "" where
    a weight is not in memory (offloaded by a device map). Half a gigabyte takes well under a second.
    """
    weights = _distinct(model)
    if any(weight.is_meta for weight in weights.values()):
        return ""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="fingerprint") as pool:
        digests = pool.map(_digest, weights.values())
        whole = hashlib.sha256()
        for (name, weight), digest in zip(weights.items(), digests, strict=True):
            whole.update(f"{name} {tuple(weight.shape)} {weight.dtype} {digest}\n".encode())
    return whole.hexdigest()


def configuration(model: PreTrainedModel) -> str:
    """SHA-256, hex, over the settings by which the model computes: equal weights under another activation, another
    window or other rotary angles are another model."""
    told = {name: value for name, value in model.config.to_dict().items() if name not in _OF_NO_EFFECT}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _distinct(model: PreTrainedModel) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, sorted; of those that share their memory, the first name's."""
    seen: set[tuple[object, ...]] = set()
    weights: dict[str, Tensor] = {}
    for name, tensor in sorted(model.state_dict().items()):
        if not isinstance(tensor, Tensor):
            continue
        place = (tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.is_meta or tensor.numel() == 0 or place not in seen:
            seen.add(place)
            weights[name] = tensor
    return weights


def _digest(weight: Tensor) -> str:
    flat = weight.detach().contiguous().cpu().reshape(-1).view(torch.uint8)
    return hashlib.sha256(flat.numpy().data).hexdigest()
