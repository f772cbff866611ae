"""The words of a prune setting: methods and amounts. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Method(StrEnum):
    """How the parts to remove are chosen."""

    MAGNITUDE = "magnitude"
    """Smallest |w|, ranked over each matrix."""
    MAGNITUDE_GLOBAL = "magnitude-global"
    """Smallest |w|, ranked over all targets together."""
    WANDA = "wanda"
    """Smallest |w|·‖x‖₂ in each output row, block by block on the activations of the already pruned blocks."""
    WANDA_ONEPASS = "wanda-onepass"
    """The same score on the dense model's activations, all measured in one pass."""
    SPARSEGPT = "sparsegpt"
    """Smallest w² / [H⁻¹]ⱼⱼ; the remaining weights are corrected for the removed ones."""
    RANDOM = "random"
    """Weights drawn at random by a seed, as a control."""
    NEURONS = "neurons"
    """Whole intermediate neurons of each MLP."""
    HEADS = "heads"
    """Whole key/value groups of each attention, with the query heads that read them."""
    DENSE = "dense"
    """Restores the dense weights and sublayers."""
    RESTORE = "restore"
    """Restores single weights: the pruned ones whose return lowers the KL most on a span of text, by first order."""
    DROP_ATTN = "drop-attn"
    """Whole attention sublayers."""
    DROP_MLP = "drop-mlp"
    DROP_BLOCK = "drop-block"
    DROP_ATTN_ITER = "drop-attn-iter"
    """As drop-attn, but chosen one after another, with importance measured again after each."""
    DROP_MLP_ITER = "drop-mlp-iter"
    DROP_BLOCK_ITER = "drop-block-iter"

    @property
    def drops(self) -> bool:
        """Does it drop sublayers or blocks, and not weights?"""
        return self.value.startswith("drop-")

    @property
    def dropped_kind(self) -> str:
        """The kind of part that it drops, "attn", "mlp" or "block"; "" for other methods."""
        return self.value.split("-")[1] if self.drops else ""

    @property
    def iterative(self) -> bool:
        return self.value.endswith("-iter")

    @property
    def structured(self) -> bool:
        """Does it remove whole neurons or heads?"""
        return self in (Method.NEURONS, Method.HEADS)

    @property
    def thinned_kind(self) -> str:
        """The sublayer that whole neurons ("mlp") or heads ("attn") are removed from; "" for other methods."""
        return {Method.NEURONS: "mlp", Method.HEADS: "attn"}.get(self, "")

    @property
    def unstructured(self) -> bool:
        """Does it choose weights one by one, so that N:M patterns make sense?"""
        return not self.drops and not self.structured and not self.restores

    @property
    def restores(self) -> bool:
        """Does it restore what an earlier part removed, and remove nothing?"""
        return self in (Method.DENSE, Method.RESTORE)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A share of the weights, neurons, groups or layers, in (0, 1]."""

    value: float

    def __str__(self) -> str:
        return f"{self.value:g}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """N:M: of every `group` neighbours along a row's inputs, at most `keep` are not zero."""

    keep: int
    group: int

    def __str__(self) -> str:
        return f"{self.keep}:{self.group}"


@dataclass(frozen=True, slots=True)
class Count:
    """A number of sublayers or blocks, chosen by the method's criterion."""

    value: int

    def __str__(self) -> str:
        return str(self.value)


TABLE, FILE = "table=", "file="
QUOTED = r'"(?:[^"]|"")*"'
"""A quoted file name, as a regular expression; a quote within is written twice."""


@dataclass(frozen=True, slots=True)
class Table:
    """Ratios read from a file: lines of a matrix name or layer number and its ratio."""

    path: str

    def __str__(self) -> str:
        return f"{TABLE}{_quoted(self.path)}"


@dataclass(frozen=True, slots=True)
class FittedShare:
    """A share of the pruned weights, in (0, 1], and the file that names the text on which they are chosen."""

    value: float
    path: str

    def __str__(self) -> str:
        return f"{self.value:g}@{FILE}{_quoted(self.path)}"


@dataclass(frozen=True, slots=True)
class Owl:
    """One global ratio, spread over the layers by their share of outlying scores (OWL, arXiv 2310.05175)."""

    ratio: float

    def __str__(self) -> str:
        return f"owl={self.ratio:g}"


Amount = Ratio | Pattern | Count | Table | Owl | FittedShare


def _quoted(path: str) -> str:
    """A file name in quotes, if it has a character of the grammar."""
    plain = not set('+@"{}') & set(path) and path == path.strip()
    return path if plain else '"' + path.replace('"', '""') + '"'
