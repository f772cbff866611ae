"""Explains steps of a run, one kind of finding after another, on caches of its own: the run goes on undisturbed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from probes.explain.anatomy import measure_split
from probes.explain.culprits import swaps_as_found
from probes.explain.estimate import estimate_heals
from probes.explain.forks import measure_fork
from probes.explain.kept_noise import noise_floor
from probes.explain.layers import Streams, measure_layers, read_streams
from probes.explain.pieces import Piece, pieces_of
from probes.explain.quadrants import measure_quadrants
from probes.explain.sublayers import NotAligned, Sublayers
from probes.explain.unaligned import Unaligned, take_apart_or_alone
from probes.schema.errors import BadInput, Failure, PhierError
from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding
from probes.schema.fork_verdict import FOLLOWED, ForkVerdict
from probes.schema.noise_floor import MARGIN, NoiseFloor
from probes.schema.part import Part
from probes.schema.quadrants import Quadrants
from probes.schema.requests import SwapLevel
from probes.schema.split_anatomy import SplitAnatomy
from probes.stepping.cached_model import NextTokenOutput
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work

KINDS_FOUND = ("layers", "split", "noise_floor", "quadrants", "swaps", "fork")
"""The kinds that `Explainer` finds, the quick ones first. By their names in `probes.schema.findings`."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Steps of a run, explained on the context that both models share there."""

    steps: tuple[int, int]
    """The first and the last step."""
    found: Mapping[str, Finding]
    """Findings by kind. Those that are about one step are missing for a span of several."""
    notes: tuple[str, ...]
    """Sentences that a reader of the figures must know."""
    pieces: Mapping[SwapLevel, Swaps] = field(default_factory=dict)
    """Exchanges one level down, if they were asked for: of "matrix" and "head"."""

    @property
    def layers(self) -> Layers | None:
        found = self.found.get("layers")
        return found if isinstance(found, Layers) else None

    @property
    def split(self) -> SplitAnatomy | None:
        found = self.found.get("split")
        return found if isinstance(found, SplitAnatomy) else None

    @property
    def noise_floor(self) -> NoiseFloor | None:
        found = self.found.get("noise_floor")
        return found if isinstance(found, NoiseFloor) else None

    @property
    def swaps(self) -> Swaps | None:
        found = self.found.get("swaps")
        return found if isinstance(found, Swaps) else None


def explain(
    lockstep: Lockstep,
    steps: range,
    kinds: Collection[str] = KINDS_FOUND,
    *,
    inside: str = "",
    followed: int = FOLLOWED,
    mark: str = "",
    work: Work = UNWATCHED,
) -> Explanation:
    """Explains steps that the run has taken. `mark` is the fingerprint of the dense weights (see `Explainer`).

    A fork takes `followed` steps. With `inside`, the matrices and heads of a sublayer are exchanged too: of "attn 7",
    of the one that heals most ("worst"), or of "all". If a kind can't be found, because the models' layers can't be
    aligned or the pruned one computes NaN, a note says so, and the others are found. Raises `BadInput` for steps or
    sublayers that are not there, the first problem if nothing can be found, `Cancelled`.
    """
    explainer = Explainer(lockstep, steps, followed=followed, mark=mark, work=work)
    found: dict[str, Finding] = {}
    problems: dict[str, list[str]] = {}
    first: PhierError | None = None
    for kind in kinds:
        try:
            finding = explainer.find(kind)
        except (BadInput, Failure) as error:
            first = first or error
            if not isinstance(error, NotAligned):  # a note on both models says that already
                problems.setdefault(error.message, []).append(kind.replace("_", " "))
            continue
        if finding is not None:
            found[kind] = finding
    if first is not None and not found:
        raise first
    explainer.notes += [f"{', '.join(names).capitalize()}: {message}" for message, names in problems.items()]
    explanation = Explanation((steps[0], steps[-1]), found, tuple(dict.fromkeys(explainer.notes)))
    if not inside or explanation.swaps is None:
        return explanation
    pieces, notes = explainer.pieces(inside, explanation.swaps)
    return replace(explanation, pieces=pieces, notes=tuple(dict.fromkeys((*explainer.notes, *notes))))


class Explainer:
    """Finds one kind after another about the same steps. What several kinds need is computed once.

    The run may go on, fork or be sought elsewhere meanwhile: everything that depends on its path is read when this is
    made. `work` is checked only between two passes, when nothing is changed in a model, so a source can let another
    thread use the models there.
    """

    def __init__(
        self,
        lockstep: Lockstep,
        steps: range,
        *,
        level: SwapLevel = "sublayer",
        within: Collection[Part] = (),
        begun: Swaps | None = None,
        sublayers: Callable[[], Sublayers | Unaligned] | None = None,
        early: Callable[[Finding], None] = lambda _finding: None,
        followed: int = FOLLOWED,
        mark: str = "",
        work: Work = UNWATCHED,
    ) -> None:
        """`level` says what is exchanged; matrices and heads only of the sublayers in `within`, if it names any.
        `begun` are exchanges that were cancelled: those that it has are not measured again. `sublayers` are the models
        taken apart, if that was done before. `early` gets findings that are not final yet.
        `mark` is the fingerprint of the dense weights; without it, they are hashed if it is needed. A fork takes
        `followed` steps. Raises `BadInput` for steps that are not there."""
        self._lockstep, self._steps, self._work = lockstep, steps, work
        self._level, self._within, self._begun, self._take_apart, self._early = level, within, begun, sublayers, early
        self._mark = mark
        self._followed, self._before = followed, lockstep.path[: steps[0] - 1]
        self._context = lockstep.shared_context(steps[-1])
        lockstep.shared_context(steps[0])
        self._record = lockstep.path[steps[-1] - 1]
        self._dense, self._pruned = (model.apart() for model in lockstep.models)
        self.notes: list[str] = []
        """Sentences that a reader of what has been found must know."""

    def find(self, kind: str) -> Finding | None:
        """A finding of this kind. None if it is about one step, and the steps are several, or about a split, and both
        models choose the same token.

        Raises `BadInput` for models whose sublayers can't be told apart, or can't be exchanged if the kind needs that;
        `Failure` for NaN or infinity; `Cancelled`.
        """
        self._work.check("Explaining")
        single = len(self._steps) == 1
        match kind:
            case "layers":
                return self._layers() if single else None
            case "split":
                return self._split() if single else None
            case "noise_floor":
                return self._noise_floor
            case "quadrants":
                return self._quadrants() if single else None
            case "swaps":
                return self._swaps()
            case "fork":
                return self._fork() if single else None
            case _:
                raise ValueError(f"steps are not explained by {kind!r}")

    def pieces(self, inside: str, swaps: Swaps) -> tuple[dict[SwapLevel, Swaps], list[str]]:
        """Exchanges of the matrices and the heads inside a sublayer, by level, and notes. See `explain`."""
        parts = self._sublayers.parts
        if inside == "all":
            within = parts
        elif inside == "worst":
            within = (Part(swaps.heal[0].sublayer, swaps.heal[0].layer),)
        else:
            within = tuple(part for part in parts if str(part) == inside)
        if not within:
            last = parts[-1].layer
            raise BadInput("No such sublayer", f"There is no {inside!r}.", f"Name one of attn 0 to mlp {last}.")
        found: dict[SwapLevel, Swaps] = {}
        notes: list[str] = []
        levels: tuple[SwapLevel, ...] = ("matrix", "head")
        for level in levels:
            if level == "head" and all(part.kind != "attn" for part in within):
                continue
            try:
                found[level] = self._exchanged(level, within)
            except BadInput as problem:
                notes.append(problem.message)
        return found, notes

    @cached_property
    def _apart(self) -> Sublayers | Unaligned:
        models = self._dense.model, self._pruned.model
        apart = self._take_apart() if self._take_apart else take_apart_or_alone(*models)
        self.notes += apart.notes
        if isinstance(apart, Sublayers):
            self._pruned.use(apart.pruned.model)  # deeper than the run's, if that lacks blocks; its cache still fits
        return apart

    @property
    def _sublayers(self) -> Sublayers:
        if isinstance(self._apart, Unaligned):
            raise self._apart.refused
        return self._apart

    @cached_property
    def _streams(self) -> tuple[Streams, Streams]:
        return read_streams(self._dense, self._pruned, self._context, self._apart)

    @cached_property
    def _outputs(self) -> tuple[NextTokenOutput, NextTokenOutput]:
        """For models that can't be taken apart. Raises `Failure` if one is not finite."""
        found = self._dense.read([self._context]), self._pruned.read([self._context])
        for model, name, output in zip((self._dense, self._pruned), ("dense", "pruned"), found, strict=True):
            model.join()
            if not output.finite:
                message = f"The {name} model computes NaN or infinity at this step."
                raise Failure("Not finite", message, "Explain an earlier step.")
        return found

    @cached_property
    def _noise_floor(self) -> NoiseFloor:
        floor, notes = noise_floor(
            self._dense.model,
            self._context,
            mark=self._mark,
            vocabulary=self._lockstep.vocabulary,
            temperature=self._lockstep.settings.analysis_t,
            work=self._work,
        )
        self.notes += notes
        return floor

    def _split(self) -> SplitAnatomy:
        """Judged by the noise floor, which is measured at a pair's first use; until then, without it."""
        if "_noise_floor" not in self.__dict__:
            self._early(self._split_above(0.0))
        try:
            floor = self._noise_floor.floor(MARGIN)
        except Failure as problem:
            self.notes.append(f"The split is judged without a noise floor. {problem.message}")
            floor = 0.0
        return self._split_above(floor)

    def _split_above(self, floor: float) -> SplitAnatomy:
        lockstep, record = self._lockstep, self._record
        choices = None
        if record.same_context and record.dense and record.pruned:
            choices = record.dense.token_id, record.pruned.token_id
        streams, why = None, ""
        try:
            if isinstance(self._apart, Unaligned) and not self._apart.same_depth:
                raise self._apart.refused
            streams = self._streams
        except NotAligned:  # a note on both models names the layer
            why = "Without layers that correspond, the margins can't be split by sublayer."
        except BadInput as problem:  # margins and verdict need no sublayers
            why = problem.message
        dense, pruned = (streams[0].output, streams[1].output) if streams else self._outputs
        split = measure_split(
            dense,
            pruned,
            streams,
            choices=choices,
            vocabulary=lockstep.vocabulary,
            temperature=lockstep.settings.analysis_t,
            piece=lockstep.piece,
            floor=floor,
        )
        return replace(split, notes=(*split.notes, *filter(None, [why])))

    def _layers(self) -> Layers:
        lockstep = self._lockstep
        return measure_layers(
            self._dense,
            self._pruned,
            self._context,
            self._apart,
            vocabulary=lockstep.vocabulary,
            temperature=lockstep.settings.analysis_t,
            piece=lockstep.piece,
            streams=self._streams,
        )

    def _quadrants(self) -> Quadrants:
        lockstep = self._lockstep
        return measure_quadrants(
            self._dense,
            self._pruned,
            self._context,
            vocabulary=lockstep.vocabulary,
            temperature=lockstep.settings.analysis_t,
            piece=lockstep.piece,
            work=self._work,
            notes=self.notes,
        )

    def _fork(self) -> ForkVerdict | None:
        return measure_fork(self._lockstep, self._before, steps=self._followed, work=self._work)

    def _swaps(self) -> Swaps:
        return self._exchanged(self._level, self._within, self._begun)

    def _exchanged(self, level: SwapLevel, within: Collection[Part], begun: Swaps | None = None) -> Swaps:
        sublayers, context, count = self._sublayers, self._context, len(self._steps)
        vocabulary, temperature = self._lockstep.vocabulary, self._lockstep.settings.analysis_t
        pieces: list[Piece] = []
        if level != "sublayer":
            pieces, notes = pieces_of(sublayers, level, within or sublayers.parts)
            self.notes += notes

        work = self._work.apart()

        def estimate(reference: Tensor) -> Mapping[Part, float]:
            found = estimate_heals(
                sublayers,
                context,
                count,
                reference=reference,
                vocabulary=vocabulary,
                temperature=temperature,
                between=lambda: work.check("Estimating heals"),
            )
            self.notes += filter(None, [found.note])
            return found.heals

        found = swaps_as_found(
            sublayers,
            context,
            count,
            pieces=pieces,
            estimate=estimate,
            begun=begun,
            vocabulary=vocabulary,
            temperature=temperature,
            work=work,
        )
        for swaps in found:
            self.notes += [note for note in work.notes if note not in self.notes]
            if len(swaps.damage) < len(pieces or sublayers.parts):
                self._early(swaps)
        return swaps
