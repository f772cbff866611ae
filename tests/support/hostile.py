"""Recordings that no run could make: wrong types, extreme numbers, long strings, cycles. A seed gives the same ones."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from probes.recording.lines import encode
from probes.schema.events import Event

NUMBERS = (0, -1, 1, 10**6, 2**53 + 1, 2**63, 10**40, -(10**40), 0.5, -0.0, 1.5, -1e308, 1e308, 5e-324, -1e100, 1e100)
TEXTS = (
    "",
    " ",
    "[/bold][link=x]",
    "\x1b[31m\x1b]0;owned\x07\x1b]52;c;x\x07\x9b2J\x00",
    "\u202eabc\u2028\ufeff\u200b",
    "../../etc/x",
    "a/b\x00c",
    "$\\frac{1}$ <script>&]]>",
    "x" * 5000,
    "字" * 70_000,
    "9" * 5000,
    "inf",
    "steps",
    "drop-block@layers=0-999999999",
    "wanda:1e400",
    "2026-99-99T99:99",
)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"a": {"b": [1]}}, ["x"] * 300)


def hostile(events: Sequence[Event], seed: int, changes: int = 6) -> bytes:
    """The recording of these events after so many accidents."""
    draw = random.Random(seed)
    lines = [json.loads(encode(event, place * 0.5)) for place, event in enumerate(events)]
    for _ in range(changes):
        line = lines[draw.randrange(1, len(lines)) if draw.random() < 0.7 else 0]
        match draw.randrange(12):
            case 0:
                lines.append(line)
            case 1 if len(lines) > 2:
                lines.remove(line)
            case 2:
                line["nonfinite"] = {draw.choice(_paths(line)): draw.choice(("inf", "nan", "-inf", "1e308", 5))}
            case 3:
                lines.append(_fork(draw))
            case 4:
                lines += [_explained(draw) for _ in range(draw.randrange(1, 4))]
            case _:
                _spoil(draw, line)
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def chain(length: int) -> list[dict[str, Any]]:
    """Branches that each leave the one before."""
    return [{"kind": "branch", "run": 1, "opened": {"id": n, "parent": n - 1, "step": 1}} for n in range(1, length)]


def _spoil(draw: random.Random, node: Any) -> None:
    """Puts something else in the place of one value, however deep."""
    key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
    child = node[key]
    if isinstance(child, (dict, list)) and child and draw.random() < 0.9:
        _spoil(draw, child)
    elif isinstance(child, str) and draw.random() < 0.7:
        node[key] = draw.choice(TEXTS)
    elif isinstance(child, (int, float)) and draw.random() < 0.8:
        node[key] = draw.choice(NUMBERS)
    else:
        node[key] = draw.choice(draw.choice((NUMBERS, TEXTS, OTHERS)))


def _paths(line: dict[str, Any]) -> list[str]:
    found = [f"{group}.{key}" for group, value in line.items() if isinstance(value, dict) for key in value]
    deep = ("found.rows.0", "found.a.p", "rows.0.same_input.p.kl", "largest.p.kl")
    return [*found, *line, *deep, "top.0.p", "top.-1.q", "rows.0.x", "__class__.__doc__", "h.__doc__", ""]


def _fork(draw: random.Random) -> dict[str, Any]:
    ids = (0, 1, 2, 3, -1, 10**30)
    opened = {"id": draw.choice(ids), "parent": draw.choice((*ids, None)), "step": draw.choice((1, 3, 9, 0, 10**9))}
    return {"kind": "branch", "run": 1, "opened": opened | {"label": draw.choice(TEXTS)}}


def _explained(draw: random.Random) -> dict[str, Any]:
    row = {draw.choice(TEXTS): draw.choice(draw.choice((NUMBERS, TEXTS))) for _ in range(3)}
    what = draw.choice((*TEXTS, "tokens", "a/b", ".hidden", "CON", "x" * 5000, "layers"))
    return {"kind": "explained", "run": 1, "branch": 0, "step": 1, "what": what, "rows": [row, {}]}
