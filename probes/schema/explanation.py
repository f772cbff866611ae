"""What explains one token: figures by layer and sublayer, exchanges of sublayers, and what moved the two tokens.

Frozen data without torch. All divergences are in nats, and the dense model is the reference. The formulas are in
docs/figures.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures


@dataclass(frozen=True, slots=True)
class SpaceFigures:
    """How far two states of the residual stream are apart: in `h`, and in `z` and `p` through final norm and head."""

    h: HiddenFigures
    """Of the residual stream itself, before the final norm."""
    z: LogitFigures
    p: ProbabilityFigures


@dataclass(frozen=True, slots=True)
class LensToken:
    """The likeliest token of a state of the residual stream, read through the model's final norm and head."""

    token_id: int
    token: str
    p: float


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One sublayer at one step."""

    layer: int
    sublayer: str
    """"attn" or "mlp"."""
    same_input: SpaceFigures
    """The dense and the pruned sublayer on the dense model's input and cache, read through its norm and head."""
    accumulated: SpaceFigures
    """The two models' streams after this sublayer, each from its own run."""
    lens_dense: LensToken
    lens_pruned: LensToken


@dataclass(frozen=True, slots=True)
class Layers:
    """Every sublayer at one step, in the order of the stream."""

    rows: tuple[LayerFigures, ...]

    @property
    def parting(self) -> LayerFigures | None:
        """The sublayer from which on the two lenses never show the same token again; None if they end on one."""
        parting = None
        for row in reversed(self.rows):
            if row.lens_dense.token_id == row.lens_pruned.token_id:
                break
            parting = row
        return parting
