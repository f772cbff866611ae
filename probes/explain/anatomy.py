"""Takes a split apart: the margins of its two tokens in both models, and which sublayers moved them.

The residual stream that enters the final norm is the sum of the embedding and of what every sublayer adds to it, as its
architecture adds it (after norms and scales of its own). `readout` makes z(a) - z(b) a linear function of the stream,
so it is the sum of what the parts add; what is left is "head".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from probes.explain.layers import Streams
from probes.explain.readout import Readout, Unsplit, read_linearly
from probes.schema.part import SUBLAYERS, Part
from probes.schema.split_anatomy import NEAR_TIE, MarginPart, Rival, SplitAnatomy, SplitVerdict
from probes.stepping.cached_model import NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.sums import count_ahead
from probes.system.float64 import to_float64

EMBEDDING, HEAD = "embedding", "head"
"""The parts of a margin that are not sublayers."""


@torch.inference_mode()
def measure_split(
    dense: NextTokenOutput,
    pruned: NextTokenOutput,
    streams: tuple[Streams, Streams] | None = None,
    *,
    choices: tuple[int, int] | None = None,
    vocabulary: int | None = None,
    temperature: float = 1.0,
    piece: Callable[[int], str] = str,
    floor: float = 0.0,
) -> SplitAnatomy:
    """The anatomy of the step whose outputs these are, with its parts if `streams` are of the same runs.

    `choices` are the tokens that the dense and the pruned model chose; without them, each model's likeliest. If these
    are the same, b is the pruned model's likeliest other token. Distributions are over the ids below `vocabulary`.
    `floor` is the noise floor of the margin, in nats.
    """
    p, q = (Distribution(one.logits[:1, :vocabulary], temperature) for one in (dense, pruned))
    a, b = choices or (int(p.first), int(q.first))
    verdict = None
    if a == b:
        others = q.z[0].clone()
        others[a] = -math.inf
        b = int(others.argmax())
    else:
        verdict = judge_split(p.log_at(a) - p.log_at(b), q.log_at(a) - q.log_at(b), floor)
    parts, notes = _parts(*streams, a, b) if streams else ((), ())
    ranks = [[int(count) + 1 for count in count_ahead(one.z[0], (a, b))] for one in (p, q)]
    rivals = [
        Rival(
            token,
            piece(token),
            p.at(token),
            q.at(token),
            float(p.z[0, token]),
            float(q.z[0, token]),
            ranks[0][place],
            ranks[1][place],
        )
        for place, token in enumerate((a, b))
    ]
    return SplitAnatomy(
        a=rivals[0],
        b=rivals[1],
        margin_dense=p.log_at(a) - p.log_at(b),
        margin_pruned=q.log_at(a) - q.log_at(b),
        entropy_dense=_entropy(p),
        entropy_pruned=_entropy(q),
        parts=parts,
        verdict=verdict,
        floor=floor,
        notes=notes,
    )


def judge_split(margin_dense: float, margin_pruned: float, floor: float) -> SplitVerdict:
    """The verdict on two models that choose different tokens, from their margins and its noise floor, in nats."""
    if abs(margin_pruned - margin_dense) <= floor:
        return SplitVerdict.NUMERICAL
    return SplitVerdict.NEAR_TIE if margin_dense < NEAR_TIE else SplitVerdict.CONFIDENT_FLIP


def _entropy(distribution: Distribution) -> float:
    """Σ -p log p, in nats, of the first position."""
    log_p = distribution.below_largest()[0] - distribution.log_total[0]
    return max(0.0, -float(distribution.p[0] @ log_p))


def _parts(dense: Streams, pruned: Streams, a: int, b: int) -> tuple[tuple[MarginPart, ...], tuple[str, ...]]:
    """The share of every part in both models, and notes. Without shares, a note gives the reason."""
    try:
        readouts = [read_linearly(one, a, b) for one in (dense, pruned)]
        added = [_added(one, readout, a, b) for one, readout in zip((dense, pruned), readouts, strict=True)]
    except Unsplit as problem:
        return (), (str(problem),)
    names: list[tuple[int | None, str]] = [(None, EMBEDDING)]
    names += [(part.layer, part.kind) for part in dense.sublayers.parts]
    names.append((None, HEAD))
    notes = _notes(readouts)
    if dense.output.logits.dtype.itemsize < 4:
        notes.append('In half precision "head" holds what rounding adds, too.')
    parts = tuple(MarginPart(layer, kind, one, other) for (layer, kind), one, other in zip(names, *added, strict=True))
    return parts, tuple(notes)


def _added(streams: Streams, readout: Readout, a: int, b: int) -> list[float]:
    """The terms that the embedding, every sublayer and the head add to z(a) - z(b) in one run."""
    blocks = streams.sublayers.anatomy.blocks
    states = [streams.entered[blocks[0].layer], *(streams.own[part] for part in streams.sublayers.parts)]
    for before, after in pairwise(blocks):
        _check_same(streams, streams.own[Part(SUBLAYERS[1], before.layer)], streams.entered[after.layer], before.name)
    _check_same(streams, states[-1], streams.ends[streams.sublayers.anatomy.final_norm][0], blocks[-1].name)
    stream = torch.stack([to_float64(state) for state in states])
    added = readout.of(torch.cat([stream[:1], stream.diff(dim=0)]))
    logits = to_float64(streams.output.logits[0])
    return [*added, float(logits[a] - logits[b]) - math.fsum(added)]


def _check_same(streams: Streams, left: Tensor, entered: Tensor, block: str) -> None:
    if not torch.equal(left, entered):
        name = type(streams.side.model).__name__
        raise Unsplit(f"{name} changes the stream after {block}, so its logits can't be split by sublayer.")


def _notes(readouts: list[Readout]) -> list[str]:
    notes = []
    if any(readout.by_itself for readout in readouts):
        notes.append('"head" is what the biases of the final norm and of the head add.')
    if any(readout.capped for readout in readouts):
        notes.append('The model caps its logits after the head; how far that moves them apart is in "head".')
    return notes
