"""Slow references for SparseGPT and for the influence of layers, heads and neurons, written from their equations."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.schema.part import Part
from probes.schema.prune_setting import Pattern, Ratio
from probes.twin.anatomy import Block, dissect


def hessian(inputs: Tensor) -> Tensor:
    """H = (2/n) Σ x xᵀ of (tokens, features)."""
    return 2 / len(inputs) * inputs.T @ inputs


def sparsegpt_slowly(weight: Tensor, h: Tensor, amount: Ratio | Pattern, block: int = 128) -> Tensor:
    """Optimal brain surgeon, column by column, float64: equations 2 and 3 of the paper, nothing shared or reused.

    The Hessian of the columns not yet done is inverted anew for every column. Inputs that never spoke lose their
    weights first, and H is damped by a hundredth of its mean diagonal.
    """
    w, h = weight.double().clone(), h.double().clone()
    silent = h.diagonal() == 0
    w[:, silent] = 0
    h.diagonal()[silent] = 1
    h += torch.eye(len(h), dtype=torch.float64) * 0.01 * h.diagonal().mean()
    rows, columns = w.shape
    cost_of = [float(torch.linalg.inv(h[k:, k:])[0, 0]) for k in range(columns)]
    keep = torch.ones(rows, columns, dtype=torch.bool)

    def lose(cells: list[tuple[int, int]], count: int) -> None:
        costs = {(i, k): float(w[i, k]) ** 2 / cost_of[k] for i, k in cells}
        for i, k in sorted(costs, key=costs.__getitem__)[:count]:
            keep[i, k] = False

    for j in range(columns):
        if isinstance(amount, Ratio) and j % block == 0:
            cells = [(i, k) for i in range(rows) for k in range(j, min(j + block, columns))]
            lose(cells, int(amount.value * len(cells)))
        if isinstance(amount, Pattern) and j % amount.group == 0:
            for i in range(rows):
                lose([(i, k) for k in range(j, j + amount.group)], amount.group - amount.keep)
        left = torch.linalg.inv(h[j:, j:])
        for i in range(rows):
            if not keep[i, j]:
                w[i, j:] -= w[i, j] / left[0, 0] * left[0]
                w[i, j] = 0
    return w


def importance_slowly(
    model: PreTrainedModel, ids: Tensor, kind: str, dropped: Collection[Part] = ()
) -> dict[Part, float]:
    """1 - E[cos] of every "attn", "mlp" or "block" that runs, float64, token by token, from whole blocks only.

    What a sublayer adds is known by what its block hands on once the other one's last matrix and its bias are 0.
    """
    blocks, result = dissect(model).blocks, {}
    gone = {sublayer for part in dropped for sublayer in part.sublayers}
    for block in blocks:
        here, attn, mlp = (Part(one, block.layer) for one in (kind, "attn", "mlp"))
        if here in {*gone, *dropped}:
            continue
        if kind == "attn":
            before, after = _through(model, ids, block, gone | {mlp})
        elif kind == "mlp" and _is_parallel(model):
            before, after = _through(model, ids, block, gone | {attn})
        else:
            before, after = _through(model, ids, block, gone)
            if kind == "mlp":
                _, before = _through(model, ids, block, gone | {mlp})
        cosines = [float(a @ b) / math.sqrt(float(a @ a) * float(b @ b)) for a, b in zip(before, after, strict=True)]
        result[here] = 1 - math.fsum(cosines) / len(cosines)
    return result


def entering(model: PreTrainedModel, ids: Tensor, name: str) -> Tensor:
    """The inputs of a matrix, (tokens, features), in float64."""
    model = _precise(model)
    seen: list[Tensor] = []
    model.get_submodule(name).register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
    model(input_ids=ids, use_cache=False)
    (inputs,) = seen
    return inputs.reshape(-1, inputs.shape[-1])


def added(inputs: Tensor, weight: Tensor, features: list[int]) -> float:
    """‖X Wᵀ‖_F of some features, by all the vectors that they add to the stream."""
    return float((inputs[:, features] @ weight[:, features].double().T).square().sum().sqrt())


def _through(model: PreTrainedModel, ids: Tensor, block: Block, silent: Collection[Part]) -> tuple[Tensor, Tensor]:
    """The residual stream before and after a block, (tokens, d), in a copy in which some sublayers add nothing."""
    model = _precise(model)
    for sublayer in dissect(model).sublayers:
        if sublayer.part in silent:
            for name, parameter in model.get_submodule(sublayer.modules[-1]).named_parameters():
                if parameter.dim() > 1 or name.endswith("bias"):
                    parameter.zero_()
    seen: list[tuple[Tensor, Tensor]] = []

    def look(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], output: Any) -> None:
        after = output[0] if isinstance(output, tuple) else output
        seen.append((args[0] if args else kwargs["hidden_states"], after))

    model.get_submodule(block.name).register_forward_hook(look, with_kwargs=True)
    model(input_ids=ids, use_cache=False)
    ((before, after),) = seen
    return before.flatten(0, 1), after.flatten(0, 1)


def _precise(model: PreTrainedModel) -> PreTrainedModel:
    model = copy.deepcopy(model).double()
    model.set_experts_implementation("eager")  # the only one that knows float64
    return model


def _is_parallel(model: PreTrainedModel) -> bool:
    """Do attention and MLP read the same stream? As the papers of these architectures say."""
    config = model.config
    if config.model_type == "falcon":
        return config.parallel_attn or config.new_decoder_architecture
    return config.model_type == "phi" or (config.model_type == "gpt_neox" and config.use_parallel_residual)
