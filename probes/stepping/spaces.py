"""The three spaces: figures of the two models' tensors at n positions, compared together.

Notation, as in arXiv 2603.24652: `h`, `h'` enter the LM head; `z`, `z'` are the models' own output logits, Δz = z' - z;
p = softmax(z/T) and q = softmax(z'/T). Dense comes first and is the reference. Natural logarithms, so nats.

All sums are taken in float64 (on the host for devices that have none), on the device (`sums`), and brought over in one
piece. The figures are made of them on the host (`figures`). There is no epsilon inside a logarithm: it would cap a
divergence silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from probes.schema.record import Comparison, TopToken
from probes.schema.watch import WatchedIds
from probes.stepping.distribution import Distribution
from probes.stepping.figures import hidden_figures, logit_figures, probability_figures
from probes.stepping.sums import count_ahead, likeliest, measure, new_scratch
from probes.stepping.watched import WatchedLogits, logits_at

SLAB = 1 << 23
"""How many logits of a model `compare_logits` takes at once: 64 MiB in float64, of which some ten arrays are needed."""


def compare_logits(
    hidden: Tensor,
    hidden_pruned: Tensor,
    logits: Tensor,
    logits_pruned: Tensor,
    *,
    temperature: float = 1.0,
    top: int = 10,
    piece: Callable[[int], str] = str,
) -> Iterator[Comparison]:
    """Compares any number of positions one after another, in memory for a limited number of them.

    `hidden` and `hidden_pruned` are (n, d), `logits` and `logits_pruned` (n, V), all finite.
    For the rest see `compare`.
    """
    if len({len(tensor) for tensor in (hidden, hidden_pruned, logits, logits_pruned)}) > 1:
        raise ValueError("hidden states and logits are of different numbers of positions")
    at_once = max(1, SLAB // logits.shape[-1])
    pieces = (tensor.split(at_once) for tensor in (hidden, hidden_pruned, logits, logits_pruned))
    for h, h2, z, z2 in zip(*pieces, strict=True):
        yield from compare(h, h2, Distribution(z, temperature), Distribution(z2, temperature), top=top, piece=piece)


def compare(
    hidden: Tensor,
    hidden_pruned: Tensor,
    dense: Distribution,
    pruned: Distribution,
    *,
    top: int = 10,
    piece: Callable[[int], str] = str,
    scratch: Tensor | None = None,
    watched: Sequence[WatchedIds] = (),
) -> list[Comparison]:
    """All figures of n positions, one comparison each, with one wait for the device.

    `hidden` and `hidden_pruned` are (n, d), finite, of any floating dtype, on the device of the distributions, which
    are over the same vocabulary and at the same temperature: the analysis temperature T. `hidden` and `dense` may be of
    one position, which is then compared with each of the pruned model's.

    The table is of the `top` likeliest tokens of each model, and so is `topk_overlap`. `piece` gives a token's text.
    `scratch` (`new_scratch`) is overwritten; as many positions as it is for are measured at once. `watched` are groups
    of ids below V, no id twice. Raises ValueError if shapes or temperatures differ.

    It waits again only to count the rank of a token that one model finds likely, or that is watched, and the other
    finds very unlikely, or to order more equal logits than are looked up.
    """
    count, vocabulary = pruned.z.shape
    _check(hidden, hidden_pruned, count)
    _check(dense.z, pruned.z, count)
    if dense.temperature != pruned.temperature:
        raise ValueError(f"temperatures {dense.temperature} and {pruned.temperature} can't be compared")
    if not count:
        return []
    scratch = new_scratch(pruned, count) if scratch is None else scratch
    if scratch.shape[::2] != (3, vocabulary):
        raise ValueError(f"a scratch for other distributions, {tuple(scratch.shape)}")
    hidden, dense, top = hidden.expand(count, -1), dense.expand(count), min(top, vocabulary)
    slices = [slice(start, start + scratch.shape[1]) for start in range(0, count, scratch.shape[1])]
    pieces = [measure(hidden[rows], hidden_pruned[rows], dense[rows], pruned[rows], scratch) for rows in slices]
    names = list(pieces[0])
    sums = torch.cat([torch.cat(list(piece.values()), 1) for piece in pieces])
    ids = [token for group in watched for token in group.ids]
    columns = [sums, *logits_at(ids, dense, pruned), likeliest(dense, pruned, top)]
    numbers = torch.cat(columns, 1).tolist()  # one wait for the device
    start, stop = len(names), len(names) + 2 * len(ids)
    found = [
        _Position.read(dict(zip(names, row, strict=False)), row[stop:], dense.temperature, row[start:stop], watched)
        for row in numbers
    ]
    for place, one in enumerate(found):
        if one.crowded(top, vocabulary):
            rows = slice(place, place + 1)
            (again,) = likeliest(dense[rows], pruned[rows], top, in_order=True).tolist()
            found[place] = replace(_Position.read(one.sums, again, dense.temperature), watched=one.watched)
    _count_unknown(found, dense, pruned, top)
    return [_comparison(one, vocabulary, top, piece) for one in found]


def _check(dense: Tensor, pruned: Tensor, count: int) -> None:
    if dense.dim() != 2 or pruned.dim() != 2 or dense.shape[1] != pruned.shape[1]:
        raise ValueError(f"vectors of one length are compared, not {tuple(dense.shape)} and {tuple(pruned.shape)}")
    if len(pruned) != count or len(dense) not in (1, count):
        raise ValueError(f"{len(dense)} and {len(pruned)} positions can't be compared as {count}")


class _Token(NamedTuple):
    """One of the likeliest tokens of a model, as both models have it."""

    token_id: int
    z_dense: float
    z_pruned: float
    p: float
    q: float


@dataclass(frozen=True, slots=True)
class _Position:
    """A position on the host: the sums by name, and each model's likeliest tokens in order, equals by their ids."""

    sums: dict[str, float]
    temperature: float
    dense: list[_Token]
    pruned: list[_Token]
    ranks_dense: dict[int, int]
    """By token, 1 + the number of logits that are larger than its own, or equal with a smaller id. Those that are
    known."""
    ranks_pruned: dict[int, int]
    watched: WatchedLogits | None = None

    @classmethod
    def read(
        cls,
        sums: dict[str, float],
        numbers: Sequence[float],
        temperature: float,
        logits: Sequence[float] = (),
        watched: Sequence[WatchedIds] = (),
    ) -> _Position:
        """`numbers` are a row of `likeliest`, and `logits` one of `logits_at`."""
        size = len(numbers) // len(_Token._fields)
        ids, *values = (numbers[start : start + size] for start in range(0, len(numbers), size))
        tokens = list(map(_Token, map(int, ids), *values))
        dense = sorted(tokens[: size // 2], key=lambda token: (-token.z_dense, token.token_id))
        pruned = sorted(tokens[size // 2 :], key=lambda token: (-token.z_pruned, token.token_id))
        # A logit equal to the last looked up may be one of several, of which others were not.
        last, last2 = dense[-1].z_dense, pruned[-1].z_pruned
        ranks = {token.token_id: rank for rank, token in enumerate(dense, 1) if token.z_dense > last}
        ranks2 = {token.token_id: rank for rank, token in enumerate(pruned, 1) if token.z_pruned > last2}
        seen = WatchedLogits.read(watched, logits) if watched else None
        return cls(sums, temperature, dense, pruned, ranks, ranks2, seen)

    def crowded(self, top: int, vocabulary: int) -> bool:
        """True if logits equal to the last of the top k may not have been looked up."""
        cut = len(self.dense) < vocabulary
        equal = self.dense[top - 1].z_dense == self.dense[-1].z_dense
        return cut and (equal or self.pruned[top - 1].z_pruned == self.pruned[-1].z_pruned)

    def table(self, top: int) -> dict[int, _Token]:
        """Each model's `top` likeliest tokens, by id."""
        return {token.token_id: token for token in (*self.dense[:top], *self.pruned[:top])}

    def term(self, token: _Token) -> float:
        """The token's summand of KL(p‖q)."""
        inverse, sums = 1 / self.temperature, self.sums
        below, below2 = (token.z_dense - sums["p.largest"]) * inverse, (token.z_pruned - sums["q.largest"]) * inverse
        return 0.0 - token.p * (below2 - below - (sums["q.log_total"] - sums["p.log_total"]))


def _count_unknown(found: Sequence[_Position], dense: Distribution, pruned: Distribution, top: int) -> None:
    """Adds the ranks of the tables' and the watched tokens that are not known, counted on the device."""
    unknown: list[tuple[dict[int, int], int]] = []
    counts: list[Tensor] = []
    for place, one in enumerate(found):
        best, best2 = one.watched.likeliest if one.watched else ((), ())
        for ranks, logits, also in ((one.ranks_dense, dense.z, best), (one.ranks_pruned, pruned.z, best2)):
            tokens = [token for token in dict.fromkeys((*one.table(top), *also)) if token not in ranks]
            unknown += [(ranks, token) for token in tokens]
            counts += count_ahead(logits[place], tokens) if tokens else []
    if counts:
        for (ranks, token), count in zip(unknown, torch.stack(counts).tolist(), strict=True):
            ranks[token] = count + 1


def _comparison(one: _Position, vocabulary: int, top: int, piece: Callable[[int], str]) -> Comparison:
    table = one.table(top)
    changes = [token.z_pruned - token.z_dense for token in one.dense[:5]]
    ranks = one.ranks_pruned[one.dense[0].token_id], one.ranks_dense[one.pruned[0].token_id]
    p = probability_figures(one.sums, ranks, (2 * top - len(table)) / top)
    seen = one.watched
    return Comparison(
        h=hidden_figures(one.sums),
        z=logit_figures(one.sums, changes, vocabulary),
        p=p,
        top=tuple(
            TopToken(
                token_id=token.token_id,
                token=piece(token.token_id),
                p=token.p,
                q=token.q,
                z_dense=token.z_dense,
                z_pruned=token.z_pruned,
                rank_dense=one.ranks_dense[token.token_id],
                rank_pruned=one.ranks_pruned[token.token_id],
                kl_share=one.term(token) / p.kl if p.kl > 0 else 0.0,
            )
            for token in sorted(table.values(), key=lambda token: (-max(token.p, token.q), token.token_id))
        ),
        watched=seen.figures(one.sums, one.temperature, one.ranks_dense, one.ranks_pruned) if seen else None,
    )
