"""Chooses single pruned weights to restore: those with the largest |∂KL/∂w · Δw| on a text, to first order.

KL is the mean over the text's last positions of KL(dense ‖ pruned), w a weight that pruning set to zero, and Δw what
restoring it would change it by: its dense value. The gradient of one matrix at a time is in memory, for the length of
one hook: it is the product of the gradient of the matrix's output and of its input, which are as long as the text.

Weights that went with whole neurons or heads are no candidates: as long as the rest of the neuron is zero, none of them
changes anything. Nor are the matrices of dropped sublayers, which do not run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.devices import input_device
from probes.models.hooks import Call, at_gradient, changing_output, entering, first_of, leaving
from probes.models.rotary import Rotary
from probes.prune.fitted_text import FittedText
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import SettingPart
from probes.system.progress import UNWATCHED, Work
from probes.twin.anatomy import Matrix
from probes.twin.sharing import sharing_copy
from probes.twin.twin import Twin
from probes.twin.twin_state import unpacked

CHOOSING_WEIGHTS = "Choosing weights to restore"

Chosen = Mapping[str, Tensor]
"""Flat places of weights in (outputs, inputs), ascending, on the CPU, by matrix."""


def restore_weights(twin: Twin, part: SettingPart, fitted: FittedText, model: str, work: Work = UNWATCHED) -> list[str]:
    """Restores the share of the pruned weights that the part asks for, and returns a note.

    `model` is the fingerprint of the dense weights. Raises `BadInput` if the file was made for other weights, or if
    nothing would be restored; `Failure` if the pruned model computes NaN or infinity; `Cancelled`.
    """
    share = getattr(part.amount, "value", 0.0)
    if fitted.model != model:
        message = f"{part} was fitted to other weights: those of {fitted.name or 'another model'}."
        raise BadInput(
            "Another model",
            message,
            "Load that model in the dtype used then, or make the file again with phier repair --level weight.",
        )
    names = tuple(m.name for m in twin.in_use if part.targets.has(m.name, m.layer, m.sublayer))
    candidates = count_candidates(twin, names)
    most = round(share * candidates)
    if not most:
        why = f"of {candidates:,} weights that is none" if candidates else "no single weight is pruned in its targets"
        hint = "Use a larger share." if candidates else "Put it after a part that prunes single weights."
        raise BadInput("Nothing restored", f"{part} restores nothing: {why}.", hint)
    chosen = most_wanted(twin, fitted, most, names, work)
    restored = sum(len(places) for places in chosen.values())
    if not restored:
        message = f"{part} restores nothing: no pruned weight changes the KL of its text."
        raise BadInput("Nothing restored", message, "Use another file, or leave the part out.")
    for name, places in chosen.items():
        _restore(twin, name, places)
    return [f"{part} restored {restored:,} of {candidates:,} pruned weights."]


def candidates_of(twin: Twin, name: str) -> Tensor | None:
    """Which weights of a matrix are pruned one by one, (outputs, inputs); None if it is dense."""
    change = twin.state.changes.get(name)
    if change is None:
        return None
    dense = twin.dense_weight(name)
    gone = (dense != 0) & ~unpacked(change.kept, dense.shape).to(dense.device)
    if change.feature_mask is not None:
        gone &= unpacked(change.feature_mask, dense.shape).to(dense.device)
    return gone


def count_candidates(twin: Twin, names: Sequence[str] | None = None) -> int:
    """How many single weights of these matrices, by default of all that run, are pruned and could be restored."""
    chosen = [matrix.name for matrix in twin.in_use] if names is None else names
    return sum(int(gone.sum()) for gone in (candidates_of(twin, name) for name in chosen) if gone is not None)


def most_wanted(
    twin: Twin, fitted: FittedText, most: int, names: Sequence[str] | None = None, work: Work = UNWATCHED
) -> Chosen:
    """The `most` candidates with the largest scores; of equal ones, the first in the model. Weights with the score 0
    are never chosen, so there can be fewer. Takes one pass of the dense model, and one of the pruned one and back."""
    return ranked_weights(twin, fitted, most, names, work).first(most)


@dataclass(frozen=True, slots=True, eq=False)
class RankedWeights:
    """Candidates by their scores, the largest first."""

    places: Tensor
    """Over all matrices one after another."""
    sizes: Mapping[str, int]
    """Of each matrix."""

    def first(self, most: int) -> Chosen:
        """The first so many, by matrix."""
        places, offset, begin, found = self.places[:most].sort().values, 0, 0, {}
        for name, size in self.sizes.items():
            end = int(torch.searchsorted(places, offset + size))
            if end > begin:
                found[name] = places[begin:end] - offset
            offset, begin = offset + size, end
        return found


def ranked_weights(
    twin: Twin, fitted: FittedText, most: int, names: Sequence[str] | None = None, work: Work = UNWATCHED
) -> RankedWeights:
    """The candidates that `most_wanted` takes, in order. About 24 bytes for each are in memory."""
    matrices = [m for m in twin.in_use if m.name in twin.state.changes and (names is None or m.name in names)]
    offsets, end = {}, 0
    for matrix in matrices:
        offsets[matrix.name] = end
        end += twin.shape(matrix.name).numel()
    largest = _Largest(most)

    def scored(matrix: Matrix, gradient: Tensor) -> None:
        work.check(CHOOSING_WEIGHTS)
        gone = candidates_of(twin, matrix.name)
        assert gone is not None
        scores = (gradient * twin.dense_weight(matrix.name)).abs_().masked_fill_(~gone, 0).flatten().cpu()
        largest.add(scores, offsets[matrix.name])

    each_gradient(twin.dense, twin.model, matrices, fitted, scored, work)
    return RankedWeights(largest.ranked(), {m.name: twin.shape(m.name).numel() for m in matrices})


def each_gradient(
    dense: PreTrainedModel,
    pruned: PreTrainedModel,
    matrices: Sequence[Matrix],
    fitted: FittedText,
    see: Callable[[Matrix, Tensor], None],
    work: Work = UNWATCHED,
) -> None:
    """Calls `see(matrix, ∂KL/∂W)` for each matrix of the pruned model, the last one in the model first.

    The gradient, (outputs, inputs), is in float32 or wider, and in memory only while `see` runs. Nothing is changed in
    the two models, which share their tensors with the copies that are read here.
    """
    work.report(CHOOSING_WEIGHTS)
    reference = span_logits(dense, fitted)
    read = sharing_copy(pruned)
    waiting: dict[str, int] = {}
    sums: dict[str, Tensor] = {}

    def leave(path: str, call: Call, output: object) -> None:
        assert isinstance(output, Tensor)
        waiting[path] = waiting.get(path, 0) + 1
        entered = call.hidden.detach()

        def note(gradient: Tensor) -> None:
            wide = torch.promote_types(gradient.dtype, torch.float32)
            rows, columns = (one.reshape(-1, one.shape[-1]).to(wide) for one in (gradient, entered))
            product = rows.t() @ columns
            sums[path] = sums[path] + product if path in sums else product  # a shared module runs more than once
            waiting[path] -= 1
            if not waiting[path]:
                see(by_name[path], sums.pop(path))

        at_gradient(output, note)

    by_name = {matrix.name: matrix for matrix in matrices}
    embedding = next(path for path, module in read.named_modules() if module is read.get_input_embeddings())
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        changing_output(read, embedding, lambda output: first_of(output).detach().requires_grad_()),
        leaving(read, by_name, leave, idle=True),
    ):
        logits = span_logits(read, fitted, differentiable=True)
        if not bool(torch.isfinite(logits).all()):
            message = "The pruned model computes NaN or infinity on this text, so its weights have no gradient."
            raise Failure("Not finite", message, "Restore whole sublayers first (phier repair).")
        span_kl(reference.to(logits.device), logits, fitted).mean().backward()


def span_logits(model: PreTrainedModel, fitted: FittedText, *, differentiable: bool = False) -> Tensor:
    """The logits after the last positions of the text, (positions, vocabulary), of one pass without a cache.

    With `differentiable`, the pass is recorded for a backward pass, if something in it requires a gradient.
    """
    ids = torch.tensor([fitted.ids], device=input_device(model))
    keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
    keep = {"logits_to_keep": fitted.positions} if keeps else {}
    rotary = Rotary(model)
    with rotary.at_length(ids.shape[1]) if rotary else nullcontext(), torch.set_grad_enabled(differentiable):
        logits: Tensor = model(input_ids=ids, use_cache=False, **keep).logits[0, -fitted.positions :]
    return logits[:, : fitted.vocabulary]


def span_kl(dense: Tensor, pruned: Tensor, fitted: FittedText) -> Tensor:
    """KL(dense ‖ pruned) at each position, in float64; exactly 0 for equal logits."""
    log_p, log_q = (torch.log_softmax(logits.double() / fitted.temperature, -1) for logits in (dense, pruned))
    return (log_p.exp() * (log_p - log_q)).sum(-1)


@contextmanager
def weights_restored(model: PreTrainedModel, twin: Twin, chosen: Chosen) -> Iterator[PreTrainedModel]:
    """A copy of the pruned model that shares its tensors and runs with these weights restored.

    A matrix with restored weights exists only while it runs.
    """
    copy = sharing_copy(model)
    own: dict[str, nn.Parameter] = {}

    def enter(path: str, _call: Call) -> None:
        module = copy.get_submodule(path)
        own[path] = module.weight  # type: ignore[assignment]  # a matrix has a weight
        module.weight = twin.stored(path, with_dense(twin, path, chosen[path]))

    def leave(path: str, _call: Call, _output: object) -> None:
        copy.get_submodule(path).weight = own.pop(path)

    with entering(copy, chosen, enter), leaving(copy, chosen, leave):
        yield copy


def with_dense(twin: Twin, name: str, places: Tensor) -> Tensor:
    """A new matrix, (outputs, inputs): the twin's with the dense weights at these places."""
    made, dense = twin.weight(name).detach().clone(memory_format=torch.contiguous_format), twin.dense_weight(name)
    rows, columns = (one.to(made.device) for one in (places // made.shape[1], places % made.shape[1]))
    made[rows, columns] = dense[rows, columns]
    return made


def _restore(twin: Twin, name: str, places: Tensor) -> None:
    change = twin.state.changes[name]
    if change.weight is not None:
        twin.replace(name, with_dense(twin, name, places))
        return
    dense = twin.dense_weight(name)
    kept = unpacked(change.kept, dense.shape).clone()
    kept.view(-1)[places] = True
    kept = kept.to(dense.device)
    if bool((kept | (dense == 0)).all()):
        twin.restore(name)
    else:
        twin.mask(name, kept)


@dataclass(eq=False)
class _Largest:
    """The largest of many scores, of which about twice as many as wanted are kept meanwhile."""

    most: int
    _scores: list[Tensor] = field(default_factory=list)
    _places: list[Tensor] = field(default_factory=list)
    _kept: int = 0
    _least: float = 0.0

    def add(self, scores: Tensor, offset: int) -> None:
        here = (scores > 0) & (scores >= self._least)
        places = here.nonzero().flatten()
        self._scores.append(scores[places])
        self._places.append(places + offset)
        self._kept += len(places)
        if self._kept > 2 * self.most:
            self._cut()

    def ranked(self) -> Tensor:
        """The largest first; of equal ones, the first place."""
        self._cut()
        if not self._places:
            return torch.empty(0, dtype=torch.int64)
        places, order = self._places[0].sort()
        return places[self._scores[0][order].argsort(descending=True, stable=True)]

    def _cut(self) -> None:
        if not self._scores:
            return
        scores, places = torch.cat(self._scores), torch.cat(self._places)
        if len(scores) > self.most:
            self._least = float(scores.topk(self.most).values[-1])
            above, equal = scores > self._least, (scores == self._least).nonzero().flatten()
            first = equal[places[equal].argsort()[: self.most - int(above.sum())]]
            kept = torch.cat([above.nonzero().flatten(), first])
            scores, places = scores[kept], places[kept]
        self._scores, self._places, self._kept = [scores], [places], len(scores)
