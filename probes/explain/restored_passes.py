"""Reads one context with sets of sublayers or matrices given back, computing again only what comes after the first
difference from the last set that was read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.estimate import estimate_heals
from probes.explain.give_back_units import Unit
from probes.explain.graphs import Instead, graph_with, output_of
from probes.explain.search import Names, Score
from probes.explain.span_score import span_score
from probes.explain.sublayers import ModelSide, Sublayers
from probes.models.hooks import Call, entering, leaving
from probes.prune.fitted_text import FittedText
from probes.prune.single_weights import each_gradient, span_logits
from probes.schema.errors import Failure
from probes.schema.part import Part
from probes.system.progress import Work
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin

NOTHING: Names = frozenset()


class RestoredPasses:
    """One context, and what both models answer at its last positions once units are given back."""

    def __init__(self, sublayers: Sublayers, units: Sequence[Unit], fitted: FittedText) -> None:
        """Reads the context with the dense model. `fitted` says which positions count."""
        self._sublayers, self._units, self._fitted = sublayers, {unit.name: unit for unit in units}, fitted
        self._dense = span_logits(sublayers.dense.model, fitted)
        if not bool(torch.isfinite(self._dense).all()):
            message = "The dense model computes NaN or infinity on these steps, so nothing can be measured."
            raise Failure("Not finite", message, "Choose an earlier step, or another dtype.")
        self._base: Names | None = None
        """The set that was read whole."""
        self._stream: dict[int, Tensor] = {}
        """The input of every block in that pass."""
        self._attention: dict[int, object] = {}
        """The output of every attention in that pass."""
        self._logits = self._dense

    def score(self, given: Names, near: Names) -> Score:
        """The score of a set. `near` is read whole first, if the set that was read whole is another one."""
        return span_score(self._dense, self.logits(given, near), self._fitted)

    @torch.no_grad()
    def logits(self, given: Names, near: Names = NOTHING) -> Tensor:
        """The logits of the pruned model with a set given back, (positions, vocabulary)."""
        if self._base != near:
            self._read_whole(near)
        changed = given ^ near
        if not changed:
            return self._logits
        first = min(self._units[name].part.layer for name in changed)
        whole_attention = all(self._keeps_attention(self._units[name]) for name in changed if self._at(name) == first)
        modules: dict[str, nn.Module] = {}
        for block in self._sublayers.anatomy.blocks:
            layer = block.layer
            if layer < first:
                answer: object = output_of(self._stream[first], self._sublayers.values[layer])
                modules[block.name] = _answering(self._sublayers.pruned.blocks[layer], answer)
                continue
            modules[block.name] = made = self._block(layer, given)
            if layer == first and whole_attention:
                attention = self._sublayers.attention[layer]
                instead = _answering(made.get_submodule(attention), self._attention[layer])
                modules[block.name] = graph_with(made, {attention: instead})
        return span_logits(graph_with(self._sublayers.pruned.model, modules), self._fitted)

    def graph(self, given: Names) -> PreTrainedModel:
        """The pruned model with a set given back, as a graph that shares all modules."""
        blocks = {block.name: self._block(block.layer, given) for block in self._sublayers.anatomy.blocks}
        return graph_with(self._sublayers.pruned.model, blocks)

    def estimates(self, given: Names, twin: Twin, work: Work) -> dict[str, float]:
        """About what each unit would gain once a set is given back, by first order; {} if there is no estimate.

        Of sublayers it is that of `estimate_heals`; of matrices -⟨∂KL/∂W, W_dense - W⟩.
        """
        if all(not unit.matrix for unit in self._units.values()):
            side = replace(self._sublayers, pruned=self._side(given))
            fitted = self._fitted
            estimate = estimate_heals(
                side,
                fitted.ids,
                fitted.positions,
                vocabulary=fitted.vocabulary,
                temperature=fitted.temperature,
            )
            if estimate.note:
                work.note(estimate.note)
            return {str(part): heal for part, heal in estimate.heals.items() if str(part) in self._units}
        found: dict[str, float] = {}

        def see(matrix: Matrix, gradient: Tensor) -> None:
            change = twin.dense_weight(matrix.name) - twin.weight(matrix.name)
            found[matrix.name] = -float((gradient * change).sum())

        open_ones = [m for m in twin.in_use if m.name in self._units and m.name not in given]
        each_gradient(self._sublayers.dense.model, self.graph(given), open_ones, self._fitted, see, work)
        return found

    # Helpers --------------------------------------------------------------------------------------------------

    def _at(self, name: str) -> int:
        return self._units[name].part.layer

    def _keeps_attention(self, unit: Unit) -> bool:
        """Does the attention of its block answer as before, because only what comes after it changes?"""
        names = self._sublayers.members[Part("attn", unit.part.layer)]
        return unit.part.kind == "mlp" and not any(path.partition(".")[0] in names for path in unit.modules)

    def _block(self, layer: int, given: Names) -> nn.Module:
        own = self._sublayers.pruned.blocks[layer]
        children: dict[str, nn.Module] = {}
        for name in sorted(given):
            if self._at(name) == layer:
                children |= self._units[name].modules
        return graph_with(own, children)

    def _side(self, given: Names) -> ModelSide:
        dense, pruned = self._sublayers.dense, self._sublayers.pruned
        layers = [block.layer for block in self._sublayers.anatomy.blocks]
        return ModelSide(
            pruned.model,
            {layer: self._block(layer, given) for layer in layers},
            {layer: (dense if f"attn {layer}" in given else pruned).attn[layer] for layer in layers},
            {layer: (dense if f"mlp {layer}" in given else pruned).mlp[layer] for layer in layers},
        )

    def _read_whole(self, given: Names) -> None:
        blocks: dict[str, nn.Module] = {}
        names, attentions = {}, {}
        for block in self._sublayers.anatomy.blocks:
            layer = block.layer
            attention, made = self._sublayers.attention[layer], self._block(layer, given)
            # copies, so that nothing is hooked in the models themselves
            blocks[block.name] = graph_with(made, {attention: graph_with(made.get_submodule(attention), {})})
            names[block.name], attentions[f"{block.name}.{attention}"] = layer, layer

        def enter(path: str, call: Call) -> None:
            self._stream[names[path]] = call.hidden

        def leave(path: str, _call: Call, output: object) -> None:
            self._attention[attentions[path]] = output

        graph = graph_with(self._sublayers.pruned.model, blocks)
        self._base = None
        with entering(graph, names, enter), leaving(graph, attentions, leave):
            self._logits = span_logits(graph, self._fitted)
        self._base = given


def _answering(module: nn.Module, answer: object) -> nn.Module:
    """Stands for a module whose answer is known."""
    return Instead(module, lambda _call: answer)
