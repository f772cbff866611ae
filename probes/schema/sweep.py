"""A sweep: settings × tasks and prompts × seeds, as plain data without torch.

A cell is one setting on one task with one seed. What a sweep found is a file of one line a cell; the items of a cell
are in a file of its own beside it, so that any cell opens as a verdict and any item as a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probes.schema.bounds import Bounded, Names, Natural, NonNegative, Share
from probes.schema.items import TaskKind, Way
from probes.schema.prune_setting import Setting
from probes.schema.settings import Follow, Sampling
from probes.schema.spec import LOAD_DEFAULTS, OWN_TEXT, CalibrationSpec, LoadOptions
from probes.schema.summary import Summary
from probes.schema.task_options import TASK_DEFAULTS, TaskOptions
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY, Interval, TaskVerdict

GREEDY = Sampling()
PROMPT_STEPS = 64
"""Steps of a prompt's run, unless the plan says otherwise."""


@dataclass(frozen=True, slots=True)
class SweptSetting:
    """One setting of a sweep, and its place on a curve."""

    setting: Setting
    family: str
    """What the settings of one curve share: the setting with its swept amount left out, "wanda:{}" or
    "drop-attn:{}@layers=8-29"."""
    amount: float | None
    """The swept amount, the curve's x: a ratio, the share that a pattern removes (2:4 is 0.5), a number of layers. None
    for a setting without one amount, which is a curve of one point."""


@dataclass(frozen=True, slots=True)
class PromptTask:
    """A prompt that both models are stepped on; its cell holds the run's summary."""

    name: str
    """Short, unique among tasks and prompts: "prompt 1"."""
    prompt: str
    raw: bool = False
    follow: Follow = Follow.DENSE
    steps: int = PROMPT_STEPS
    sampling: Sampling = GREEDY
    """Its seed is replaced by the cell's seed, if the cell has one."""


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Everything that a person asks for; from options or from a TOML file."""

    settings: tuple[SweptSetting, ...]
    dense: str = "demo"
    tasks: tuple[str, ...] = ()
    """Item sets that ship, files of items, data sets; () with no prompts means all that ship."""
    prompts: tuple[PromptTask, ...] = ()
    seeds: tuple[int | None, ...] = (None,)
    """Each replaces `calibration.seed`, and the sampling seed of prompts; None leaves them as they are."""
    most: int | None = None
    """Only the first items of each task."""
    way: Way | None = None
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL
    load: LoadOptions = LOAD_DEFAULTS
    calibration: CalibrationSpec = OWN_TEXT
    options: TaskOptions = TASK_DEFAULTS


@dataclass(frozen=True, slots=True)
class CellKey:
    """What a cell's figures depend on: a hash of each, 12 hex digits, "" where nothing of that kind matters.

    A hash changes if and only if what it names changes, so that equal keys mean equal figures.
    """

    model: str
    """The dense weights, the dtype, and the kind of device."""
    setting: str
    """The canonical text of the setting, with the content of the files that it reads."""
    calibration: str
    """Source (its content), samples and length; "" for a setting that needs no calibration."""
    task: str
    """The items, their wording and options; or the prompt and how it is stepped."""
    seed: str
    """"" if neither the setting nor the prompt draws anything at random."""

    def __str__(self) -> str:
        return "-".join(part or "none" for part in (self.model, self.setting, self.calibration, self.task, self.seed))


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting on one task with one seed."""

    setting: str
    """The text of the setting."""
    family: str
    amount: Bounded | None
    task: str
    """The name of the item set or prompt."""
    seed: int | None
    key: CellKey


@dataclass(frozen=True, slots=True)
class Removed:
    """What a setting removed, counted in the weights."""

    zeroed: Natural
    """Weights of the layers that are zero, and were not in the dense model."""
    dropped: Natural
    """Parameters of dropped sublayers and blocks."""
    parts: Names
    """Dropped sublayers and blocks: "attn 20"."""
    of: Natural
    """All parameters of the dense model."""

    @property
    def share(self) -> float:
        """Parameters removed, as a share of the dense model's."""
        return (self.zeroed + self.dropped) / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class CellError:
    """Why a cell has no figures."""

    title: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CellResult:
    """What one cell gave: the row of a task, the summary of a prompt's run, or an error. A line of the sweep's file."""

    cell: Cell
    row: TaskVerdict | None = None
    """Of a task."""
    run: Summary | None = None
    """Of a prompt."""
    error: CellError | None = None
    removed: Removed | None = None
    mask: str = ""
    """SHA-256 over the masks and drops, hex."""
    seconds: NonNegative = 0.0
    """Scoring alone."""
    pruning_seconds: NonNegative = 0.0
    """Carrying the setting out, counted in the first cell that needed it."""
    worker: str = ""
    """Where it was computed: "here", "process 1", an address."""
    peak_bytes: Natural = 0
    """The largest memory of the worker's process up to the end of this cell; 0 if it is not known."""
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> TaskKind | None:
        """The kind of its task; None for a prompt or an error."""
        return self.row.kind if self.row is not None else None


@dataclass(frozen=True, slots=True)
class SweepHeader:
    """The first line of a sweep's file: what is common to all of its cells."""

    dense: str
    """The model's name."""
    spec: str
    """The name that the person gave."""
    cells: tuple[Cell, ...]
    """All cells that the latest plan asks for, in its order."""
    margin: Share
    level: Share
    versions: dict[str, str]
    """"phier", "torch", "transformers": results of different ones are not mixed."""
    started: str = ""
    """ISO 8601, UTC."""
    plan: str = ""
    """The plan as TOML, with which the sweep can be repeated."""
    threads: Natural = 0
    """With which all cells are computed on a CPU, because the last bits of figures depend on it; 0 on other devices."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Everything that a sweep's file holds."""

    header: SweepHeader
    results: tuple[CellResult, ...] = ()
    """In the order in which they were found; of a key that is there twice, the last one without an error counts."""


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is."""

    done: int
    """Cells with figures, those included that were known before."""
    failed: int
    """Cells that failed in this sweep."""
    of: int
    running: tuple[tuple[str, float], ...]
    """The cells that are being computed ("wanda:0.5 on facts"), each with the share that is done."""
    seconds_left: float | None
    """None while nothing is known about it."""
    elsewhere: int = 0
    """Cells that are waited for, as other programs compute them."""


class Held(StrEnum):
    """Whether a task holds at one point of a curve."""

    SAFE = "safe"
    BROKEN = "broken"
    UNDECIDED = "undecided"
    """A `Doubt` says why."""


class Doubt(StrEnum):
    """Why a point is neither safe nor broken."""

    MISSING = "not computed yet"
    ERROR = "error"
    NOT_FINITE = "not finite"
    """The figure is NaN or infinite, or the run has no such figure."""
    UNJUDGED = "a prompt has no verdict"
    NOTHING_TO_LOSE = "nothing to lose"
    TOO_FEW = "too few items"
    BORDERLINE = "borderline"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One setting of a curve: the mean over its seeds."""

    amount: Bounded | None
    setting: str
    removed: Share | None
    """Parameters removed; None if no seed has a figure."""
    value: Bounded | None
    """The pruned model's score; of a prompt, its figure. None if no seed has one that is finite."""
    low: Bounded | None
    high: Bounded | None
    """Its interval; of several seeds, from the lowest end to the highest one. Of a prompt, from the lowest seed to the
    highest."""
    difference: Interval | None
    """Pruned minus dense, paired, joined in the same way; None for a prompt."""
    held: Held
    """The worst of its seeds: one that is broken, else one that is undecided."""
    doubt: Doubt | None = None
    """Why it is undecided; of several reasons, the first in the order of `Doubt`."""
    seeds: Natural = 1
    """Seeds that have a finite figure."""
    seeds_asked: Natural = 1
    errors: tuple[str, ...] = ()
    """What failed, of the seeds that have no figure."""
    items_needed: Natural | None = None
    """About how many items would decide it, if there are too few: the most of its seeds."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A task's score against one family's amount."""

    task: str
    kind: TaskKind | None
    """None for a prompt, and for a task of which no cell has a figure."""
    family: str
    figure: str
    """"accuracy", "top-1", "exact match"; of a prompt, a figure of its summary; "" if no cell has one."""
    dense: Bounded | None
    """The dense model's score, the line beside the curve; None for a prompt."""
    chance: Share | None
    margin: Share
    """What the points are judged by."""
    points: tuple[CurvePoint, ...]
    """Ascending by amount; those of one amount in the order of the plan."""
    knee: int | None
    """The index of the knee: the largest amount such that it and all smaller ones are safe. None if the smallest is not
    safe already, or nothing is decided."""

    @property
    def at_knee(self) -> CurvePoint | None:
        return None if self.knee is None else self.points[self.knee]

    @property
    def stop(self) -> CurvePoint | None:
        """The first point that is not safe, where the knee's search ends: its `held` and `doubt` say why. None if all
        points are safe; the knee may then be beyond them."""
        return next((point for point in self.points if point.held is not Held.SAFE), None)


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """One setting in the Pareto view of a task."""

    task: str
    setting: str
    family: str
    amount: Bounded | None
    removed: Share
    """Parameters removed."""
    lost: Bounded
    """The score lost: dense minus pruned, negative for a gain. Of a prompt, the figure itself, with its sign turned if
    a higher one is better."""
    lost_low: Bounded
    lost_high: Bounded
    held: Held
    doubt: Doubt | None
    front: bool
    """Is there no setting that removes at least as much and loses at most as much, and is better in one of the two?
    Of settings that are equal in both, all are on the front."""


class Allocation(StrEnum):
    """How a setting's amount is shared out among the layers."""

    UNIFORM = "uniform"
    OWL = "owl"
    """By outliers of the scores: `owl=0.5` in the grammar."""
    SENSITIVITY = "sensitivity"
    """By what each layer's pruning costs, measured layer by layer: a table of ratios in a file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A setting that a recommendation may try."""

    setting: str
    family: str
    """The uniform family it comes from: "wanda:{}@mlp"."""
    amount: Bounded
    """Mean ratio, or number of layers."""
    allocation: Allocation = Allocation.UNIFORM


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting that a recommendation tried."""

    candidate: Candidate
    held: Held
    """Safe if all tasks are safe, broken if one is; else undecided, which may be an error."""
    rows: tuple[TaskVerdict, ...]
    """Of the tasks that were scored; the others were left out because these decided already."""
    removed: Share | None
    """Parameters removed; None if pruning failed."""
    error: CellError | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """The verdict on the recommended setting, counting that it is the best of several."""

    tried: Natural
    """Settings that were judged on the same items."""
    level: Share
    """The level of each interval at which all of them hold together: 1 - (1 - level) / tried."""
    held: Held | None
    """None if a task has scores other than right and wrong, whose intervals aren't made again from their counts."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The setting that removes the most and is still safe, with the evidence."""

    best: Trial | None
    """None if no tried setting is safe."""
    not_broken: Trial | None
    """If none is safe: the one that removes the most and is not shown to be broken."""
    decidable: bool
    """Could the items show that even an exact copy of the dense model is safe?"""
    tasks: tuple[str, ...]
    """The tasks that were judged."""
    nothing_to_lose: tuple[str, ...]
    """Tasks that are left out, because the dense model is not above guessing in them."""
    margin: Share
    level: Share
    trials: tuple[Trial, ...]
    """Everything that was tried, in its order."""
    not_tried: tuple[str, ...]
    """Sentences: methods, allocations and amounts that were left out, and why."""
    counted: Counted | None = None
    confirmed: tuple[TaskVerdict, ...] = ()
    """The recommended setting on items that the search has not seen."""
    items_needed: Natural | None = None
    """If nothing is safe: about how many items a task would need; of an undecidable task, to show that an exact copy
    is."""
    notes: tuple[str, ...] = ()
