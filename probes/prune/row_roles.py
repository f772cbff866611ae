"""Finds which features the rows of a sublayer's matrices compute, by adding noise to the rows.

Projections are laid out in many ways (q, k and v apart, one after another, or interleaved by head; gate and up in one
matrix). There is no table of architectures: noise is added to some of a matrix's outputs, and the features that enter
the sublayer's last matrix are compared with those of a pass without noise. The dense model is used, because rows of a
pruned one may no longer have an effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.hooks import Call, Stop, changing_output, entering, first_of, leaving, until_stop
from probes.twin.anatomy import Matrix, Sublayer, probe_ids
from probes.twin.twin import Twin


@dataclass(frozen=True, slots=True)
class Heads:
    """How an attention's features, and the rows of its matrices, are divided among its heads."""

    groups: tuple[tuple[int, ...], ...]
    """Heads that read the same keys and values; single heads if all of them do."""
    size: int
    """Features of one head."""
    served: Mapping[str, tuple[frozenset[int], ...]]
    """By matrix: the heads that each group of `size` rows affects. Matrices of another layout are missing."""


def writer(model: PreTrainedModel, sublayer: Sublayer, matrices: Sequence[Matrix]) -> Matrix | None:
    """The matrix whose output is the sublayer's output; None if there is none.

    BLOOM's sublayers add the residual themselves: the writer is the matrix whose output is added.
    """
    if sublayer.beside:
        return None
    by_name = {matrix.name: matrix for matrix in matrices}
    last: list[tuple[Matrix, Tensor]] = []
    found: list[Matrix] = []

    def wrote(name: str, _call: Call, output: object) -> None:
        if isinstance(output, Tensor):
            last.append((by_name[name], output))

    def left(_path: str, call: Call, output: object) -> None:
        if last:
            matrix, written = last[-1]
            beside = [value for value in (*call.args[1:], call.kwargs.get("residual")) if isinstance(value, Tensor)]
            out = first_of(output)
            if out.data_ptr() == written.data_ptr() or any(_is_sum(out, written, other) for other in beside):
                found.append(matrix)
        raise Stop

    with leaving(model, by_name, wrote, idle=True), leaving(model, sublayer.modules[-1:], left, idle=True):
        _read_a_few(model)
    return found[0] if found else None


def neurons_of_rows(twin: Twin, written_by: Matrix, source: Matrix) -> Tensor | None:
    """The neuron that each row of a matrix computes, (rows,); None if there are none, or in no known order.

    Neurons are the features that enter the writing matrix. A fused matrix has several rows for each: one set after
    another, or side by side.
    """
    neurons, rows = twin.shape(written_by.name)[1], twin.shape(source.name)[0]
    if rows % neurons:
        return None
    some = torch.rand(neurons, generator=torch.Generator().manual_seed(0)) < 0.5
    for order in (torch.arange(rows) % neurons, torch.arange(rows) // (rows // neurons)):
        changed = _changed(twin.dense, written_by, source, some[order])
        if changed is not None and changed.any() and not (changed & ~some).any():
            return order
    return None


def heads(twin: Twin, written_by: Matrix, sources: Sequence[Matrix]) -> Heads | None:
    """The heads of an attention; None if its features don't divide into them."""
    features = twin.shape(written_by.name)[1]
    config = twin.dense.config.get_text_config(decoder=True)
    number = getattr(config, "num_attention_heads", None)
    if not isinstance(number, int) or features % number:
        return None
    size = features // number
    served: dict[str, tuple[frozenset[int], ...]] = {}
    for source in sources:
        if twin.shape(source.name)[0] % size == 0:
            runs = _served(twin, written_by, source, size)
            if runs is not None:
                served[source.name] = runs
    if number > 1 and not any(0 < len(among) < number for runs in served.values() for among in runs):
        return None  # all rows affect every feature, so there are no separate heads
    groups = _joined(number, [among for runs in served.values() for among in runs])
    return Heads(groups if len(groups) > 1 else tuple((head,) for head in range(number)), size, served)


def _served(twin: Twin, written_by: Matrix, source: Matrix, size: int) -> tuple[frozenset[int], ...] | None:
    rows = torch.arange(twin.shape(source.name)[0]) // size
    found = []
    for run in range(int(rows[-1]) + 1):
        changed = _changed(twin.dense, written_by, source, rows == run)
        if changed is None:
            return None
        found.append(frozenset(changed.view(-1, size).any(1).nonzero().flatten().tolist()))
    return tuple(found)


def _joined(number: int, sets: Sequence[frozenset[int]]) -> tuple[tuple[int, ...], ...]:
    """Joins heads that the same rows affect into one group."""
    group = list(range(number))
    for together in sets:
        joined = {group[head] for head in together}
        group = [min(joined) if own in joined else own for own in group]
    return tuple(tuple(head for head in range(number) if group[head] == own) for own in sorted(set(group)))


def _changed(model: PreTrainedModel, written_by: Matrix, source: Matrix, rows: Tensor) -> Tensor | None:
    """The features entering the writing matrix that change if noise is added to these outputs of `source`.

    None if `source` does not return one number for each row, for example if its rows are divided among groups of
    inputs.
    """
    plain = _features(model, written_by)
    noise = torch.Generator().manual_seed(1)
    unlike: list[object] = []

    def disturbed(output: object) -> object:
        if not isinstance(output, Tensor) or output.shape[-1] != len(rows):
            unlike.append(output)
            return output
        added = torch.randn(output.shape, generator=noise).to(output) * (1 + output.abs().mean())
        return torch.where(rows.to(output.device), output + added, output)

    with changing_output(model, source.name, disturbed):
        after = _features(model, written_by)
    return None if unlike else (plain != after).any(0).cpu()


def _features(model: PreTrainedModel, written_by: Matrix) -> Tensor:
    """The inputs of a matrix on a few tokens, (tokens, features)."""
    seen: list[Tensor] = []

    def look(_name: str, call: Call) -> None:
        seen.append(call.hidden.reshape(-1, call.hidden.shape[-1]).clone())
        raise Stop

    with entering(model, [written_by.name], look):
        _read_a_few(model)
    return seen[0]


@torch.no_grad()
def _read_a_few(model: PreTrainedModel) -> None:
    with until_stop():
        model(input_ids=probe_ids(model), use_cache=False)


def _is_sum(out: Tensor, a: Tensor, b: Tensor) -> bool:
    return out.shape == a.shape == b.shape and torch.equal(out, a + b)
