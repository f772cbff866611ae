"""Measures the time of pruning, in decoding steps and forward passes of the same process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from probes.calibration.samples import samples
from probes.models.kv_cache import cache_name, new_cache
from probes.models.loaded import Loaded
from probes.prune.activations import NormCache
from probes.prune.apply import apply
from probes.prune.block_walk import stream
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.spec import OWN_TEXT, CalibrationSpec
from probes.system.progress import UNWATCHED, Work
from probes.twin.twin import Twin

STEP, PASS = "decoding step", "forward pass"
QUICK = 0.1
"""The share of a decoding step that dropping and restoring may take."""
LIMITS = {"magnitude:0.5": 60.0, "wanda:0.5": 3.0, "sparsegpt:0.5": 12.0, "sparsegpt:2:4": 12.0}
"""The limit of each setting: magnitude's in decoding steps, the others' in forward passes over the calibration
tokens."""
CHANGED = (("wanda:0.5", "wanda:0.4"), ("wanda-onepass:0.5", "wanda-onepass:0.4"))
"""Pairs of settings: the first is changed to the second."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The seconds of one change of the twin, and of its unit, which is timed before and after the change."""

    what: str
    seconds: float
    per: str
    """`STEP` or `PASS`."""
    unit: float
    """The seconds of one such unit, in the same process."""
    limit: float | None = None
    """The most units that the change may take; None if there is no limit."""
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> float:
        return self.seconds / self.unit


def timings(dense: Loaded, calibration: CalibrationSpec = OWN_TEXT, work: Work = UNWATCHED) -> list[Timing]:
    """Times each of dropping, restoring, magnitude, Wanda, SparseGPT, and changing the amount of both Wanda methods.

    Nothing is reused from an earlier start or method, except when only the amount changes.
    """
    work = work.apart()
    ids = samples(calibration, dense, work).ids
    twin = Twin(dense.model)
    clock = _Clock(dense, ids)
    found = []

    def carry_out(setting: str, per: str, label: str = "", limit: float | None = None) -> Timing:
        work.report(f"Timing {setting}")

        def prune() -> tuple[str, ...]:
            return apply(twin, parse(setting), dense, calibration, keep=False).notes

        return clock.timed(label or setting, prune, per, limit)

    # The first drop examines the architecture; later ones reuse the result.
    found.append(clock.timed("the first drop", lambda: twin.drop(Part("attn", 0)), STEP))
    twin.restore()
    for kind in ("attn", "block"):
        drop = partial(twin.drop, Part(kind, 0), Part(kind, 1))
        found.append(clock.timed(f"drop-{kind}, 2 layers", drop, STEP, QUICK))
        found.append(clock.timed(f"restoring drop-{kind}", twin.restore, STEP, QUICK))
    for setting, limit in LIMITS.items():
        NormCache.forget(dense.model)
        found.append(carry_out(setting, STEP if setting.startswith("magnitude") else PASS, limit=limit))
        one = next(iter(twin.state.changes))
        if setting == "magnitude:0.5":
            found.append(clock.timed("restoring one matrix", partial(twin.restore, one), STEP, QUICK))
        matrices = len(twin.state.changes)
        found.append(clock.timed(f"restoring {matrices} matrices ({setting})", twin.restore, STEP, QUICK))
    for first, then in CHANGED:
        NormCache.forget(dense.model)
        found.append(carry_out(first, PASS, f"{first}, measured for the change below"))
        found.append(carry_out(then, PASS, f"{first} changed to {then}"))
    NormCache.forget(dense.model)
    return found


class _Clock:
    """Times changes, and the unit before and after each."""

    def __init__(self, dense: Loaded, ids: Tensor) -> None:
        self._model = dense.model
        self._ids = ids
        self._units = {STEP: self._step, PASS: self._pass}
        for unit in self._units.values():
            unit()  # a warm-up

    def timed(
        self, what: str, change: Callable[[], tuple[str, ...] | None], per: str, limit: float | None = None
    ) -> Timing:
        before = self._units[per]()
        begun = _now()
        notes = change()
        seconds = _now() - begun
        after = self._units[per]()
        return Timing(what, seconds, per, (before + after) / 2, limit, notes or ())

    def _pass(self) -> float:
        """Seconds of a forward pass over the calibration tokens, without the head."""
        begun = _now()
        stream(self._model, self._ids, work=UNWATCHED, task="")
        return _now() - begun

    @torch.inference_mode()
    def _step(self, steps: int = 9) -> float:
        """The median seconds of a decoding step of the dense model after a context of 64 tokens."""
        cache, ids = new_cache(self._model), self._ids[:1, :64].to(self._model.device)
        held = {cache_name(self._model): cache}
        logits = self._model(input_ids=ids, use_cache=True, **held).logits
        times = []
        for _ in range(steps):
            begun = _now()
            chosen = logits[:, -1:].argmax(-1)
            logits = self._model(input_ids=chosen, use_cache=True, **held).logits
            times.append(_now() - begun)
        return statistics.median(times)


def _now() -> float:
    """Seconds, read after a GPU has finished its work."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter()
