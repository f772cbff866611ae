"""Carries a prune setting out on a twin, and measures what it really removed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from probes.calibration.samples import CalibrationSamples, samples
from probes.models.loaded import Loaded, with_fingerprint
from probes.prune import store
from probes.prune.allocation import check_targets
from probes.prune.fitted_text import read_fitted
from probes.prune.importance import least_important
from probes.prune.memory_check import check_memory
from probes.prune.single_weights import restore_weights
from probes.prune.structured import feature_masks
from probes.prune.weightwise import prune_weights
from probes.schema.errors import BadInput, Failure
from probes.schema.header import PruneReport
from probes.schema.part import BLOCK, Part
from probes.schema.prune_setting import Method, Setting, SettingPart, Table
from probes.schema.spec import OWN_TEXT, CalibrationSpec
from probes.system.cache_folder import signature_of
from probes.system.memory import ran_out
from probes.system.progress import UNWATCHED, Work
from probes.system.user_folders import expanded
from probes.twin.anatomy import Matrix
from probes.twin.measure import measure_removed
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState


def apply(
    twin: Twin,
    setting: Setting,
    dense: Loaded,
    calibration: CalibrationSpec = OWN_TEXT,
    *,
    known: Mapping[str, TwinState] | None = None,
    keep: bool = True,
    all_listed: bool = False,
    work: Work = UNWATCHED,
) -> PruneReport:
    """Prunes the twin by the setting, from whichever state it is in, and reports what was removed.

    Parts are carried out left to right; neighbouring weight-wise parts are carried out in one walk through the blocks.
    Calibration text is read only if a part needs it. `known` holds states by name (`known_as`): pruning continues from
    the longest beginning of this setting that is in `known`. With `keep`, a result of calibration is kept in the cache
    folder for later starts. With `all_listed` the report lists all matrices, not only the targeted ones.

    Raises `BadInput` if a part matches, removes or restores nothing, or if the result is the dense model; `Failure` if
    the architecture, the numbers or the memory don't allow it; `Cancelled`. After any error the twin is what it was
    before.
    """
    begun = time.perf_counter()
    work = work.apart()
    before = twin.state
    applying = _Applying(twin, setting, dense, calibration, work)
    try:
        notes = applying.carried_out(known or {}, keep)
    except torch.OutOfMemoryError as problem:
        message = ran_out(problem)  # first, so that there is memory for what the twin was before
        twin.set_state(before)
        raise Failure(
            "Out of memory",
            f"Pruning by {setting} needed more memory than {dense.info.device} has: {message}",
            "Use a smaller dtype (--dtype bfloat16), less calibration text (--samples, --length), or a method that "
            "needs none: magnitude, random.",
        ) from problem
    except BaseException:
        twin.set_state(before)
        raise
    return measure_removed(
        twin,
        str(setting),
        targets=twin.state.changes.keys() | _meant(setting, twin),
        all_listed=all_listed,
        seconds=time.perf_counter() - begun,
        calibration=applying.used.info if applying.used else None,
        notes=(*notes, *work.notes),
    )


def _meant(setting: Setting, twin: Twin) -> set[str]:
    """The matrices that the parts target, over which the removed share is taken. Matrices that lost no weight or were
    restored by a later part are included. A table names its own matrices, so only those that changed count."""
    removing: list[SettingPart] = []
    found: set[str] = set()
    for part in setting.parts:
        if part.method.drops or part.method is Method.RESTORE:
            continue
        if part.method is Method.DENSE:
            given = [m for m in twin.anatomy.matrices if part.targets.has(m.name, m.layer, m.sublayer)]
            found |= {m.name for m in given if any(_takes_from(one, m) for one in removing)}
            continue
        removing.append(part)
        if not isinstance(part.amount, Table):
            found |= {m.name for m in twin.in_use if _takes_from(part, m)}
    return found


def _takes_from(part: SettingPart, matrix: Matrix) -> bool:
    """Does the part remove weights of this matrix? Neurons are in MLPs, heads in attentions; other methods apply to
    every target."""
    own = part.method.thinned_kind or matrix.sublayer
    return own == matrix.sublayer and part.targets.has(matrix.name, matrix.layer, matrix.sublayer)


def known_as(setting: Setting, calibration: CalibrationSpec) -> str:
    """A name for a setting's result, unique while one dense model is loaded: its text, the state of the files that it
    reads, its calibration text and its seed."""
    names = [part.file for part in setting.parts if part.file]
    depends: list[str] = []
    if any(part.calibrated for part in setting.parts):
        names.append(calibration.source)
        depends = [f"{calibration.samples} {calibration.length} {calibration.seed} {calibration.source}".strip()]
    elif any(part.method is Method.RANDOM for part in setting.parts):
        depends = [str(calibration.seed or 0)]
    files = [path for path in map(expanded, filter(None, names)) if path.is_file()]
    return " ".join([str(setting), *([signature_of(files)] if files else []), *depends])


class _Applying:
    def __init__(self, twin: Twin, setting: Setting, dense: Loaded, calibration: CalibrationSpec, work: Work) -> None:
        self.used: CalibrationSamples | None = None
        """The calibration text; None until a part needs it."""
        self._twin = twin
        self._setting = setting
        self._dense = dense
        self._wanted = calibration
        self._seed = calibration.seed or 0
        self._work = work

    def carried_out(self, known: Mapping[str, TwinState], keep: bool) -> list[str]:
        """Prunes the twin, from whichever state it is in; returns notes."""
        stages = _stages(self._setting.parts)
        done = max((n for n in range(1, len(stages) + 1) if self._known_as(stages[:n]) in known), default=0)
        start = known[self._known_as(stages[:done])] if done else TwinState()
        check_memory(self._twin, Setting(tuple(part for stage in stages[done:] for part in stage)), start)
        place = None
        if keep and any(part.calibrated for stage in stages[done:] for part in stage):
            place = store.folder_of(self._dense, self._setting, self._samples().info, self._seed)
        found = store.load_pruning(place, self._twin, self._work) if place else None
        if found is not None:
            state, notes = found
            self._twin.set_state(state)
        else:
            begun = time.perf_counter()
            self._twin.set_state(start)
            notes = [note for stage in stages[done:] for note in self._carry_out(stage)]
            if place is not None:
                store.store_pruning(place, self._twin, notes, time.perf_counter() - begun, self._work)
        if any(part.calibrated for part in self._setting.parts):
            self._samples()  # so that the report names the text, even if the result was known
        if not self._twin.state.changes and not self._twin.state.dropped:
            raise BadInput("Nothing removed", f"The result of {self._setting} is the dense model.", "Remove something.")
        return [*notes, *self._twin.anatomy.notes, *self._out_of_reach()]

    def _carry_out(self, stage: Sequence[SettingPart]) -> list[str]:
        twin, first = self._twin, stage[0]
        if first.method.unstructured:
            return prune_weights(twin, stage, self._samples, self._seed, self._work)
        if first.method.drops:
            parts = least_important(twin, first, self._ids, self._work)
            twin.drop(*parts)
            return [f"{first} dropped {', '.join(map(str, parts))}."] if first.amount is not None else []
        if first.method.structured:
            before = twin.state.hash
            masks, notes = feature_masks(twin, first, self._ids, self._work)
            for feature_mask in masks:
                twin.remove_features(feature_mask.name, feature_mask.keep)
            if twin.state.hash == before:
                sentence = f"{first} removes nothing: those {first.method} are already pruned."
                raise BadInput("Nothing removed", sentence, "Use a larger ratio.")
            return list(notes)
        if first.method is Method.RESTORE:
            check_targets(first, twin.anatomy.matrices, [block.layer for block in twin.anatomy.blocks])
            fingerprint = with_fingerprint(self._dense).info.fingerprint
            return restore_weights(twin, first, read_fitted(first.file), fingerprint, self._work)
        self._restore(first)
        return []

    def _restore(self, part: SettingPart) -> None:
        state, targets = self._twin.state, part.targets
        check_targets(part, self._twin.anatomy.matrices, [block.layer for block in self._twin.anatomy.blocks])
        matrices = [
            matrix.name
            for matrix in self._twin.anatomy.matrices
            if matrix.name in state.changes and targets.has(matrix.name, matrix.layer, matrix.sublayer)
        ]
        dropped = [one for one in state.dropped if not targets.names and _is_target(part, one)]
        if not matrices and not dropped:
            sentence = f"{part} restores nothing: all of its targets are dense."
            raise BadInput("Nothing restored", sentence, "Name pruned matrices or dropped sublayers.")
        self._twin.restore(*matrices, *dropped)
        # If only one sublayer of a dropped block is restored, the other one stays dropped.
        other = {"attn": "mlp", "mlp": "attn"}.get(targets.sublayer)
        if other:
            halves = [Part(other, one.layer) for one in dropped if one.kind == BLOCK]
            self._twin.drop(*(half for half in halves if not self._twin.is_dropped(half)))

    def _known_as(self, stages: Sequence[Sequence[SettingPart]]) -> str:
        return known_as(Setting(tuple(part for stage in stages for part in stage)), self._wanted)

    def _out_of_reach(self) -> list[str]:
        """A note if weights that a part may have meant can't be pruned by it."""
        out = self._twin.anatomy.unreachable
        if not out or not any(p.method.unstructured and p.targets.sublayer != "attn" for p in self._setting.parts):
            return []
        reached = sum(self._twin.shape(matrix.name).numel() for matrix in self._twin.anatomy.matrices)
        count = sum(self._twin.dense.get_parameter(name).numel() for name in out)
        more = ", …" if len(out) > 1 else ""
        share = f"{count / 1e6:.1f} M of the layers' {(count + reached) / 1e6:.1f} M weights"
        return [
            f"{share} can't be pruned one by one and were left dense, in {len(out)} tensors such as experts and "
            f"routers: {out[0]}{more}"
        ]

    def _ids(self) -> Tensor:
        return self._samples().ids

    def _samples(self) -> CalibrationSamples:
        if self.used is None:
            self.used = samples(self._wanted, self._dense, self._work)
        return self.used


def _stages(parts: Sequence[SettingPart]) -> list[tuple[SettingPart, ...]]:
    """The parts that are carried out together: neighbouring weight-wise ones; every other part alone."""
    stages: list[tuple[SettingPart, ...]] = []
    for part in parts:
        if stages and part.method.unstructured and stages[-1][0].method.unstructured:
            stages[-1] = (*stages[-1], part)
        else:
            stages.append((part,))
    return stages


def _is_target(part: SettingPart, dropped: Part) -> bool:
    targets = part.targets
    meant = dropped.kind == BLOCK or targets.sublayer in ("", dropped.kind)
    return meant and (targets.layers is None or dropped.layer in targets.layers)
