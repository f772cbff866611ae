"""Calibration text that a model writes itself (Williams et al. 2024, arXiv 2410.17170).

No text has to be found or downloaded, and the samples follow the model's own distribution. Each sample starts with the
token that begins a text. Its first few tokens are sampled at a higher temperature than the rest, so that the samples
differ.
"""

from __future__ import annotations

import inspect
import json
from importlib.resources import files
from io import BytesIO

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from probes.models.devices import input_device
from probes.models.kv_cache import cache_name, new_cache
from probes.schema.errors import BadInput, Failure
from probes.system.progress import Work

WRITING = "Writing text to calibrate on"
BATCH = 32
"""Samples in one batch."""
HOT, COOL_AFTER = 2.0, 10
"""The temperature of the first token; it falls evenly to 1 over this many tokens."""
SHIPPED = "own_text.npz"
"""The file beside this module with the demo model's text as token ids."""


@torch.inference_mode()
def write_own_text(model: PreTrainedModel, begin: int, samples: int, length: int, seed: int, work: Work) -> Tensor:
    """(samples, length) token ids that the model writes after the token `begin`, which each sample starts with.

    The same seed gives the same samples, and a sample does not depend on how many follow it. Raises `Failure` if the
    model's logits are not finite.
    """
    batches = []
    for first in range(0, samples, BATCH):
        generator = torch.Generator().manual_seed((seed + 1) * 1_000_003 + first)
        batches.append(_write_batch(model, begin, length, generator, work, first, samples))
    return torch.cat(batches)[:samples]


def begin_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that begins a text, or else the one that ends a text. Raises `BadInput` if there is neither."""
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if isinstance(token_id, int):
            return token_id
    raise BadInput(
        "No calibration text",
        "The tokenizer has no token that begins or ends a text, so the model can't write its own text.",
        "Give a text with --calibration FILE.",
    )


def shipped(seed: int, samples: int, length: int) -> Tensor | None:
    """The first (samples, length) token ids of the demo model's text; None if there are too few."""
    file = files("probes.calibration").joinpath(SHIPPED)
    if not file.is_file():
        return None
    with np.load(BytesIO(file.read_bytes()), allow_pickle=False) as held:
        ids = held["ids"]
        if int(held["seed"]) != seed or samples > ids.shape[0] or length > ids.shape[1]:
            return None
        return torch.from_numpy(ids[:samples, :length].astype(np.int64))


def ship(ids: Tensor, seed: int) -> bytes:
    """The content of `SHIPPED`."""
    target = BytesIO()
    np.savez_compressed(target, ids=ids.numpy().astype(np.uint16), seed=np.int64(seed))
    return target.getvalue()


def recipe() -> str:
    """The constants that the written ids depend on, besides the model, the seed and their number."""
    return json.dumps({"batch": BATCH, "hot": HOT, "cool_after": COOL_AFTER, "version": 1})


def _write_batch(
    model: PreTrainedModel, begin: int, length: int, generator: torch.Generator, work: Work, first: int, samples: int
) -> Tensor:
    """Writes one batch of always `BATCH` samples, so that a sample does not depend on the number of samples."""
    accepted = inspect.signature(model.forward).parameters
    name = cache_name(model)
    device = input_device(model)
    cache = new_cache(model)
    written = torch.full((BATCH, length), begin)
    for position in range(1, length):
        done = first * length + position * min(BATCH, samples - first)
        work.report(WRITING, done, samples * length, "tokens")
        fed = written[:, position - 1 : position].to(device)
        extra: dict[str, object] = {name: cache}
        if "logits_to_keep" in accepted:
            extra["logits_to_keep"] = 1
        logits = model(input_ids=fed, use_cache=True, **extra).logits[:, -1].float().cpu()
        if not bool(torch.isfinite(logits).all()):
            raise Failure("No calibration text", "The dense model computes NaN or infinity.", "Load it in float32.")
        heat = max(1.0, HOT + (1 - HOT) * (position - 1) / COOL_AFTER)
        written[:, position] = torch.multinomial(torch.softmax(logits / heat, -1), 1, generator=generator)[:, 0]
    return written
