"""Reads the final norm and the head of one run as a linear function of the residual stream.

The final norm is linear if its scale is held at the run's own value (direct logit attribution):

    N(r) = s w ⊙ (r - c mean(r)) + b        with c = 1 (LayerNorm) or 0 (RMSNorm), and b = 0 without a bias

The head is z = k (U N(r) + b'), with one k for all tokens (Granite and Cohere have another one than 1). So z(a) - z(b)
is a sum over the parts that r is a sum of, plus what the biases add. w, b and c are not taken from the module's
attributes, which differ by architecture, but from what it returns, and all of it is checked against the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from probes.explain.layers import Streams
from probes.system.float64 import to_float64

_TOLERANCE = 1e-4
"""How far the linear function may be from the run, in parts of a vector's length; more in half precision."""


class Unsplit(Exception):
    """The logits can't be split over the parts; the message is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Readout:
    """z(a) - z(b) of one run, as a linear function of its residual stream at the last token."""

    weight: Tensor
    """(d,), float64: the gradient with the final norm's scale held."""
    centred: bool
    """True if the final norm subtracts the mean."""
    by_itself: float
    """The sum of what biases add, in logits."""
    capped: bool
    """True if the logits are no multiple of what the head returns: a soft-cap follows it."""

    def of(self, parts: Tensor) -> list[float]:
        """The term that each part of the stream, (n, d), adds to z(a) - z(b)."""
        if self.centred:
            parts = parts - parts.mean(-1, keepdim=True)
        added: list[float] = (parts @ self.weight).tolist()
        return added


@torch.inference_mode()
def read_linearly(streams: Streams, a: int, b: int) -> Readout:
    """The readout of tokens `a` and `b` of one run. Raises `Unsplit` if final norm or head are nothing of the kind."""
    model, anatomy = streams.side.model, streams.sublayers.anatomy
    name = type(model).__name__
    if anatomy.final_norm not in streams.ends:
        raise Unsplit(f"{name} has no final norm that could be found, so its logits can't be split by sublayer.")
    if anatomy.head not in streams.ends:
        raise Unsplit(f"The LM head of {name} did not run as a module, so its logits can't be split by sublayer.")
    normed = to_float64(streams.ends[anatomy.final_norm][1])
    head = model.get_submodule(anatomy.head)
    tolerance = max(_TOLERANCE, 4 * torch.finfo(streams.output.logits.dtype).eps)
    scale, bias, centred = _norm(model.get_submodule(anatomy.final_norm), streams.ends[anatomy.final_norm], tolerance)

    read, returned = map(to_float64, streams.ends[anatomy.head])
    if read.shape != normed.shape or (k_norm := _multiple(read, normed, tolerance)) is None:
        raise Unsplit(f"{name} changes what the final norm returns before its head, so its logits can't be split.")
    rows, offsets = _rows(head, (a, b), name)
    expected = rows @ read + offsets
    size = float(rows.norm(dim=1).max() * read.norm())
    if not torch.allclose(expected, returned[[a, b]], rtol=0, atol=tolerance * size):
        raise Unsplit(f"The LM head of {name} does more than multiply by its matrix, so its logits can't be split.")
    k_head = _multiple(to_float64(streams.output.logits[0]), returned, tolerance)
    capped = k_head is None
    k = 1.0 if k_head is None else k_head
    direction = k * (rows[0] - rows[1])
    by_itself = float(k_norm * (direction @ bias) + k * (offsets[0] - offsets[1]))
    return Readout(k_norm * direction * scale, centred, by_itself, capped)


def _norm(norm: nn.Module, ends: tuple[Tensor, Tensor], tolerance: float) -> tuple[Tensor, Tensor, bool]:
    """s w, b, and whether it subtracts the mean. Raises `Unsplit` if it is no such norm."""
    entered, normed = map(to_float64, ends)
    probe = _probe(len(entered)).to(ends[0])
    there, back = (to_float64(norm(sign * probe[None, None]))[0, 0] for sign in (1, -1))
    weight, bias = (there - back) / 2 / to_float64(probe), (there + back) / 2
    found = []
    for centred in (False, True):
        basis = weight * (entered - entered.mean() if centred else entered)
        scale = _factor(normed - bias, basis)
        found.append((float((normed - bias - scale * basis).norm()), scale, centred))
    apart, scale, centred = min(found)
    if not apart <= tolerance * float(normed.norm()):
        raise Unsplit(f"The final norm {type(norm).__name__} is no RMSNorm or LayerNorm, so logits can't be split.")
    return scale * weight, bias, centred


def _probe(size: int) -> Tensor:
    """A vector whose mean is 0 and none of whose entries is: a norm only scales it."""
    signs = torch.ones(size, dtype=torch.float64)
    signs[1::2] = -1
    if size % 2:
        signs[0], signs[-1] = -1, 2
    return signs


def _rows(head: nn.Module, tokens: tuple[int, int], name: str) -> tuple[Tensor, Tensor]:
    """The head's rows for two tokens, (2, d), and its biases for them, (2,)."""
    weight, bias = getattr(head, "weight", None), getattr(head, "bias", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2 or not weight.is_floating_point() or weight.is_meta:
        raise Unsplit(f"The LM head of {name} has no matrix in memory, so its logits can't be split by sublayer.")
    rows = to_float64(weight[list(tokens)])
    return rows, to_float64(bias[list(tokens)]) if isinstance(bias, Tensor) else rows.new_zeros(2)


def _multiple(vector: Tensor, of: Tensor, tolerance: float) -> float | None:
    """The factor by which one vector is another's multiple; None if it is not."""
    factor = _factor(vector, of)
    return factor if float((vector - factor * of).norm()) <= tolerance * float(vector.norm()) else None


def _factor(vector: Tensor, of: Tensor) -> float:
    square = float(of @ of)
    return float(vector @ of) / square if square else 0.0
