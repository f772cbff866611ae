"""Keeps the latest states of a twin, to which it can return at once, as far as their corrected weights fit.

A mask takes one bit a weight, so most states are small. SparseGPT's corrected weights are as large as the matrices:
those not in use are moved to the host's memory, the newest first, as far as they fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import psutil
from torch import nn

from probes.twin.twin_state import MatrixChange, TwinState

MOST_STATES = 8
"""How many settings a pair can flip between."""
SHARE = 0.25
"""The share of the host's free memory that the corrected weights of states not in use may take together."""


def latest(known: Mapping[str, TwinState], name: str, now: TwinState, free: int | None = None) -> dict[str, TwinState]:
    """The states to keep, with the one in use last; `free` is the host's free memory in bytes (measured if None).

    Of the `MOST_STATES` newest others, those that fit into `SHARE` stay, the newest first, with their weights on the
    host.
    """
    room = SHARE * (psutil.virtual_memory().available if free is None else free)
    others = [(other, state) for other, state in known.items() if other != name]
    in_use = {id(change.weight) for change in now.changes.values()}
    counted: set[int] = set()
    kept: list[tuple[str, TwinState]] = []
    for other, state in reversed(others[-(MOST_STATES - 1) :]):
        waiting = _on_host(state, in_use)
        new = {id(weight): weight for weight in _weights(waiting) if id(weight) not in in_use | counted}
        taken = sum(weight.numel() * weight.element_size() for weight in new.values())
        if taken > room:
            continue  # only this state is dropped: older ones may be smaller
        room -= taken
        counted |= new.keys()
        kept.append((other, waiting))
    return {**dict(reversed(kept)), name: now}


def _weights(state: TwinState) -> list[nn.Parameter]:
    return [change.weight for change in state.changes.values() if change.weight is not None]


def _on_host(state: TwinState, in_use: set[int]) -> TwinState:
    """The same state with its corrected weights in the host's memory, except those that are in use."""

    def moved(change: MatrixChange) -> MatrixChange:
        weight = change.weight
        if weight is None or weight.device.type == "cpu" or id(weight) in in_use:
            return change
        return replace(change, weight=nn.Parameter(weight.detach().cpu(), requires_grad=False))

    return replace(state, changes={name: moved(change) for name, change in state.changes.items()})
