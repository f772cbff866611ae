"""Continues a recorded run: loads its models, measures the recorded steps again, and steps on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from explorer.sources.lane import Turns
from explorer.sources.live import LiveSource, Loader, loader
from probes.models.naming import is_local
from probes.schema.errors import BadInput, FailureKind
from probes.schema.events import Explained, Failed, RunPaused, Why
from probes.schema.header import ModelInfo, RunHeader
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.stepping.retrace import Retraced, check_same_models, retrace
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair


def continued(
    header: RunHeader, path: Sequence[StepRecord], given: PairSpec, found: Sequence[Explained] = ()
) -> ContinuedSource:
    """A live source of the recorded models that begins after the recorded steps, with what was `found` about them.

    `given` says where and how to load them, and what is allowed; an option that is "auto" is taken from the recording.
    Raises `BadInput` if the recording does not name its models.
    """
    return ContinuedSource(_as_recorded(spec_of(header, given), header), header, path, found=found)


def spec_of(header: RunHeader, given: PairSpec) -> PairSpec:
    """The specification of a recorded run's models. Raises `BadInput` if the header does not name them."""
    if not header.dense.spec or not header.pruned.spec:
        raise BadInput(
            "Models unknown",
            "The recording does not say which models it was made with.",
            "Begin a new run: phier-tui --dense MODEL --prune SETTING.",
        )
    made_here = header.prune is not None and header.prune.setting != ""
    options = given.load
    placed = options.device != "auto" or options.device_map != ""
    spread = "," in header.dense.device and not placed
    used = header.prune.calibration if header.prune else None
    calibration = CalibrationSpec()
    if used is not None:
        own = used.source in _OWN_TEXT
        calibration = CalibrationSpec("" if own else used.source, used.samples, used.length, used.seed)
    return PairSpec(
        dense=_pinned(header.dense),
        pruned="" if made_here else _pinned(header.pruned),
        prune=parse(header.prune.setting) if header.prune is not None and made_here else None,
        calibration=calibration,
        overlap=given.overlap,
        load=replace(
            options,
            device=options.device if placed or spread else header.dense.device,
            dtype=options.dtype if options.dtype != "auto" else header.dense.dtype,
            device_map="auto" if spread else options.device_map,
        ),
    )


class ContinuedSource(LiveSource):
    """Live models on the path of a recording. The newest step is the one at which the recording was left.

    These models measure every figure that is shown and recorded from here on, on the recorded tokens. Whether the
    figures agree with the recorded ones is reported once: in the sentence on why the run is paused, and as a failure if
    they do not agree. If they agree, what was found about the steps holds, and is not computed again.
    """

    def __init__(
        self,
        load: Loader,
        header: RunHeader,
        path: Sequence[StepRecord],
        turns: Turns | None = None,
        found: Sequence[Explained] = (),
    ) -> None:
        super().__init__(load, header.settings, turns)
        self._found = tuple(found)
        self._recorded = header
        self._steps = tuple(path)

    def _begin(self, work: Work) -> None:
        pair = self._adopt(self._load(work))
        prompt = pair.recorded_prompt(self._recorded)
        notes = check_same_models(self._recorded, pair.header(self._settings, prompt))
        lockstep = pair.lockstep(self._settings, prompt)
        try:
            lockstep.prefill(work)
            again = retrace(lockstep, self._steps, work)
        except BaseException:
            lockstep.close()
            raise
        with self._lock:
            self._begin_run(0, lockstep, self._settings, prompt)
            for record in again.path:
                self._tell(*self._head.take(record, request=0))
            if not again.beyond:
                self._explaining.take_over(self._found)
            outcome = " ".join([str(again), *notes]) if again.path else ""
            self._tell(self._head.stop(RunPaused(0, Why.CONTINUED, said=outcome)))
            if again.beyond:
                self._tell(_disagreement(again, notes))


def _disagreement(again: Retraced, notes: Sequence[str]) -> Failed:
    return Failed(
        "Not the recorded figures",
        " ".join([str(again), *notes]),
        "All figures shown now were measured here, on the recorded tokens. The recording is unchanged.",
        FailureKind.OTHER_FIGURES,
    )


_OWN_TEXT = ("", "self", "demo")


def _pinned(model: ModelInfo) -> str:
    """The name of a hub model at the recorded commit; any other name as it is."""
    pinned = model.revision and "@" not in model.spec and "/snapshots/" not in model.spec and not is_local(model.spec)
    return f"{model.spec}@{model.revision}" if pinned else model.spec


def _as_recorded(spec: PairSpec, header: RunHeader) -> Loader:
    """Loads the models; if this machine lacks the recorded device, on one that it has."""

    def load(work: Work) -> Pair:
        from probes.models.loaded import has_device

        here, options = spec, spec.load
        if options.device == header.dense.device and not options.device_map and not has_device(options.device):
            here = replace(spec, load=replace(options, device="auto"))
        return loader(here)(work)

    return load
