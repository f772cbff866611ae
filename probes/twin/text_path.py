"""Finds the modules that text runs through, by reading a few tokens: towers for pictures or sound never run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.hooks import Call, entering
from probes.schema.errors import BadInput


def entered(model: PreTrainedModel, ids: Tensor) -> dict[str, Tensor | None]:
    """The modules that run when the model reads `ids`, by path, with the first tensor that each was called with.

    Raises `BadInput` if the model can't read text alone.
    """
    seen: dict[str, Tensor | None] = {}

    def see(path: str, call: Call) -> None:
        tensors = (value for value in (*call.args, *call.kwargs.values()) if isinstance(value, Tensor))
        seen.setdefault(path, next(tensors, None))

    paths = [path for path, _ in model.named_modules()]
    with torch.inference_mode(), entering(model, paths, see, idle=True):
        try:
            model(input_ids=ids, use_cache=False)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:
            said = str(problem).partition("\n")[0] or type(problem).__name__
            raise BadInput(
                "Unknown anatomy",
                f"{type(model).__name__} could not read a few tokens of text: {said}",
                "Use a model that reads text alone.",
            ) from problem
    return seen


def aside(ran: Mapping[str, object], idle: Sequence[str]) -> tuple[str, ...]:
    """The largest modules that hold these idle ones and in which nothing ran, by path."""
    found: dict[str, None] = {}
    for path in idle:
        while (parent := path.rpartition(".")[0]) and not _runs(ran, parent):
            path = parent
        found[path] = None
    return tuple(found)


def _runs(ran: Mapping[str, object], path: str) -> bool:
    return any(name == path or name.startswith(f"{path}.") for name in ran)
