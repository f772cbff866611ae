"""Two models side by side, one a damaged copy, with the parts of a tokenizer that stepping needs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep

PROMPT = [5, 17, 99, 3, 42, 8]

ZEROS = {
    "h": ("angle", "parallel", "orthogonal", "cos_estimate"),
    "z": ("l2", "rms", "rms_centred", "mean_abs", "max_abs", "top5_rms", "parallel", "orthogonal"),
    "p": ("kl", "kl_reverse", "js", "tv", "kl_estimate", "cos_estimate"),
}
ONES = {"h": ("cos", "length_ratio"), "z": ("cos", "cos_centred"), "p": ("cos", "topk_overlap")}
"""The figures of an exact copy, by space: those that are 0 and those that are 1."""


class Words:
    """Token 7 is written "7 ": enough of a tokenizer to step with."""

    def piece(self, token_id: int) -> str:
        return f"{token_id} "

    def stream(self, ids: Sequence[int]) -> Words:
        return self

    def push(self, token_id: int) -> str:
        return self.piece(token_id)


def lockstep(
    dense: PreTrainedModel, pruned: PreTrainedModel, follow: str = "dense", *, text: Sequence[int] = (), **options
) -> Lockstep:
    ends = options.pop("ends", frozenset())
    settings = RunSettings("prompt", follow=Follow(follow), text="text" if text else "", **options)
    return Lockstep(dense, pruned, Words(), PROMPT, settings, ends_dense=ends, ends_pruned=ends, text_ids=text)


def damaged(model: PreTrainedModel, noise: float = 0.15) -> PreTrainedModel:
    """A copy whose matrices are a little off."""
    other = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.dim() > 1:
                parameter.add_(noise * parameter.std() * torch.randn(parameter.shape, generator=generator))
    return other
