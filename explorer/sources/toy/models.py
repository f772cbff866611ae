"""A dense and a pruned model small enough to write out: a vocabulary of words, one matrix, noise for damage.

The figures are computed from real distributions by the definitions, in plain Python, so that a scripted run is as
consistent as a measured one: the table sums to the KL, the estimates are near it if the change is small.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from probes.schema.record import Comparison, HiddenFigures, LogitFigures, ProbabilityFigures, TopToken

DENSE_TEXT = (
    "In April, Natalia sold clips to 48 of her friends. In May, she sold half as many clips, which is 48 / 2 = 24 "
    "clips.\n\nTo find how many clips she sold in April and May, we add the two months together: 48 + 24 = 72.\n\n"
    "So Natalia sold 72 clips altogether in April and May. 🌍 "
)
PRUNED_TEXT = (
    "In April, Natalia sold half of the 48 clips in April, which is 48 * 48 = 104. So, 48 * 48 = 104. So, 4 * 48 = 104 "
    "clips.\n\nSo the 48 clips in April, and so 48 clips, and so 48 clips, and so 48 clips, and so 48 clips. "
)
ODD_TOKENS = ("\x1b[31m", "[bold]", "\ufffd", "\u202eabc", "\u200b", "\u0301", "字", " 🌍", "\t", "</s>")
"""Tokens of real vocabularies that are not plain words; each must reach the screen as data."""
OTHER_WORDS = "a an the of for to is was were will can could many more some twice three four 12 96 24. 72. total"

DIMENSION = 24


def pieces(text: str) -> list[str]:
    """The text cut into tokens: a word with its leading space, a number, a mark, line breaks."""
    return re.findall(r"\n+| ?[^\W\d_]+| ?\d+| ?[^\w\s]", text)


TOY_VOCABULARY = tuple(
    dict.fromkeys(
        [*pieces(DENSE_TEXT), *pieces(PRUNED_TEXT), *(f" {word}" for word in OTHER_WORDS.split()), *ODD_TOKENS]
    )
)
_IDS = {token: token_id for token_id, token in enumerate(TOY_VOCABULARY)}
_DENSE_SCRIPT, _PRUNED_SCRIPT = ([_IDS[token] for token in pieces(text)] for text in (DENSE_TEXT, PRUNED_TEXT))
_MOST_KEPT = 4096
"""The most contexts, and the most comparisons, that are kept."""


@dataclass(frozen=True, slots=True)
class ToyState:
    """The output of one toy model on one context."""

    h: tuple[float, ...]
    z: tuple[float, ...]


@dataclass(frozen=True)
class ToyPair:
    """Two toy models over one vocabulary; everything follows from the seed and the context.

    What it computes is kept for all pairs that are equal: scripted runs begin alike, and hundreds of them are tested.
    """

    seed: int = 0
    damage: float = 0.5
    """0 is an exact copy; 0.5 falls apart within some twenty tokens."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return TOY_VOCABULARY

    @property
    def matrix(self) -> list[list[float]]:
        """The LM head, one row a token."""
        return _head(self.seed)

    def id_of(self, token: str) -> int:
        return _IDS[token]

    def dense(self, context: Sequence[int]) -> ToyState:
        return self._state(tuple(context), 0.0)

    def pruned(self, context: Sequence[int]) -> ToyState:
        return self._state(tuple(context), self.damage)

    @lru_cache(_MOST_KEPT)  # noqa: B019 - a pair is two numbers
    def _state(self, context: tuple[int, ...], damage: float) -> ToyState:
        h = self._hidden(context, damage)
        return ToyState(h, tuple(_dot(row, h) for row in self.matrix))

    def _hidden(self, context: Sequence[int], damage: float) -> tuple[float, ...]:
        """Near the row of the scripted next token; damage mixes in noise and the other script's token.

        A context that has left the dense script goes on along the pruned one.
        """
        recent = range(max(0, len(context) - 5), len(context))
        left = damage > 0 and any(context[i] != self._at(_DENSE_SCRIPT, i) for i in recent)
        script = _PRUNED_SCRIPT if left else _DENSE_SCRIPT
        key = f"{self.seed}:{len(context)}:{list(context[-3:])}"
        draw = random.Random(key)
        sure = 0.32 + 0.28 * draw.random()
        rival = draw.randrange(len(TOY_VOCABULARY))
        share = 0.36 * draw.random() ** 2
        noise = [draw.gauss(0, 0.2) for _ in range(DIMENSION)]
        target = self.matrix[self._at(script, len(context))]
        other = self.matrix[rival]
        hidden = [sure * ((1 - share) * t + share * o) + n for t, o, n in zip(target, other, noise, strict=True)]
        if damage:
            draw = random.Random(f"damage:{key}")
            spike = 0.25 + 1.6 * draw.random() ** 4
            amount = damage * spike * min(1.0, 0.5 + len(context) / 40)
            wrong = self.matrix[self._at(_PRUNED_SCRIPT, len(context))]
            hidden = [
                (1 - 0.4 * damage) * value + amount * (0.5 * sure * w + draw.gauss(0, 0.35))
                for value, w in zip(hidden, wrong, strict=True)
            ]
        return tuple(hidden)

    def _at(self, script: Sequence[int], place: int) -> int:
        return script[place % len(script)]


@lru_cache(1)
def _head(seed: int) -> list[list[float]]:
    draw = random.Random(seed)
    return [[draw.gauss(0, 1) for _ in range(DIMENSION)] for _ in TOY_VOCABULARY]


@lru_cache(_MOST_KEPT)
def toy_comparison(pair: ToyPair, dense: ToyState, pruned: ToyState, temperature: float, top: int) -> Comparison:
    """The three spaces and the table of two states, by their definitions."""
    p, q = softmax(dense.z, temperature), softmax(pruned.z, temperature)
    figures = _probability(dense.z, pruned.z, p, q, temperature, top)
    return Comparison(
        _hidden_figures(dense.h, pruned.h),
        _logit_figures(dense.z, pruned.z),
        figures,
        _table(pair, dense.z, pruned.z, p, q, figures.kl, top),
    )


def softmax(z: Sequence[float], temperature: float) -> list[float]:
    highest = max(z)
    weights = [math.exp((value - highest) / temperature) for value in z]
    total = sum(weights)
    return [weight / total for weight in weights]


def _hidden_figures(h: Sequence[float], other: Sequence[float]) -> HiddenFigures:
    cos = _cosine(h, other)
    parallel, orthogonal = _split(h, other)
    angle = math.degrees(math.acos(max(-1.0, min(1.0, cos))))
    return HiddenFigures(cos, angle, _norm(other) / _norm(h), parallel, orthogonal, orthogonal**2 / 2)


def _logit_figures(z: Sequence[float], other: Sequence[float]) -> LogitFigures:
    delta = [b - a for a, b in zip(z, other, strict=True)]
    size, shift = len(z), sum(delta) / len(z)
    mean, mean_other = sum(z) / size, sum(other) / size
    five = sorted(range(size), key=lambda i: -z[i])[:5]
    parallel, orthogonal = _split(z, other)
    return LogitFigures(
        cos=_cosine(z, other),
        cos_centred=_cosine([v - mean for v in z], [v - mean_other for v in other]),
        l2=_norm(delta),
        rms=_norm(delta) / math.sqrt(size),
        rms_centred=_norm([d - shift for d in delta]) / math.sqrt(size),
        mean_abs=sum(map(abs, delta)) / size,
        max_abs=max(map(abs, delta)),
        top5_rms=math.sqrt(sum(delta[i] ** 2 for i in five) / len(five)),
        parallel=parallel,
        orthogonal=orthogonal,
    )


def _probability(
    z: Sequence[float], other: Sequence[float], p: Sequence[float], q: Sequence[float], temperature: float, top: int
) -> ProbabilityFigures:
    delta = [b - a for a, b in zip(z, other, strict=True)]
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    square = sum(a * a for a in p)
    order, order_other = _order(z), _order(other)
    return ProbabilityFigures(
        kl=_divergence(p, q),
        kl_reverse=_divergence(q, p),
        js=(_divergence(p, middle) + _divergence(q, middle)) / 2,
        tv=sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2,
        cos=_cosine(p, q),
        entropy_dense=-sum(a * math.log(a) for a in p if a > 0),
        entropy_pruned=-sum(a * math.log(a) for a in q if a > 0),
        kl_estimate=_variance(delta, p) / (2 * temperature**2),
        cos_estimate=_variance(delta, [a * a / square for a in p]) / (2 * temperature**2),
        rank_dense_in_pruned=order_other.index(order[0]) + 1,
        rank_pruned_in_dense=order.index(order_other[0]) + 1,
        topk_overlap=len(set(order[:top]) & set(order_other[:top])) / top,
    )


def _table(
    pair: ToyPair,
    z: Sequence[float],
    other: Sequence[float],
    p: Sequence[float],
    q: Sequence[float],
    kl: float,
    top: int,
) -> tuple[TopToken, ...]:
    order, order_other = _order(z), _order(other)
    rank = {token_id: place + 1 for place, token_id in enumerate(order)}
    rank_other = {token_id: place + 1 for place, token_id in enumerate(order_other)}
    union = sorted({*order[:top], *order_other[:top]}, key=lambda token_id: (-max(p[token_id], q[token_id]), token_id))
    return tuple(
        TopToken(
            token_id=token_id,
            token=pair.vocabulary[token_id],
            p=p[token_id],
            q=q[token_id],
            z_dense=z[token_id],
            z_pruned=other[token_id],
            rank_dense=rank[token_id],
            rank_pruned=rank_other[token_id],
            kl_share=p[token_id] * math.log(p[token_id] / q[token_id]) / kl
            if kl and p[token_id] > 0 and q[token_id] > 0
            else 0.0,
        )
        for token_id in union
    )


def _order(z: Sequence[float]) -> list[int]:
    return sorted(range(len(z)), key=lambda token_id: (-z[token_id], token_id))


def _divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p‖q) in nats."""
    return max(0.0, sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0 and b > 0))


def _variance(values: Sequence[float], weights: Sequence[float]) -> float:
    mean = sum(w * v for v, w in zip(values, weights, strict=True))
    return sum(w * (v - mean) ** 2 for v, w in zip(values, weights, strict=True))


def _split(vector: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The relative change of a vector, along it and across it."""
    delta = [b - a for a, b in zip(vector, other, strict=True)]
    square = _dot(vector, vector)
    alpha = _dot(delta, vector) / square
    across = [d - alpha * v for d, v in zip(delta, vector, strict=True)]
    return abs(alpha), _norm(across) / math.sqrt(square)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    return _dot(a, b) / (_norm(a) * _norm(b))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def _norm(a: Sequence[float]) -> float:
    return math.sqrt(_dot(a, a))
