"""The events of loading and stepping, as plain data. Free of torch and of any interface.

The interface and the recorder depend on these events alone, so a live run, a recording and a run of toy models look the
same to them. An event that answers a request carries the request's id (`requests`), any other event 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.branches import Branch
from probes.schema.errors import FailureKind
from probes.schema.findings import Finding
from probes.schema.header import RunHeader
from probes.schema.passages import Passages
from probes.schema.record import Invalid, StepRecord
from probes.schema.rendered import RenderedPrompt
from probes.schema.sweep import Curve, Sweep
from probes.schema.task_results import ItemPrompt, ItemResult, Similarities
from probes.schema.until import Met
from probes.schema.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """An event that may answer a request."""

    request: int = field(default=0, compare=False)
    """The id of the answered request. It is not recorded, and two events that differ only in it are equal."""


@dataclass(frozen=True, slots=True)
class WorkProgressed(_Answer):
    """Slow work (download, loading, calibrating, pruning, prefill) has made progress."""

    task: str
    """The name shown to people: "Downloading SmolLM2-135M-Instruct"."""
    done: float | None = None
    total: float | None = None
    """None if it isn't known."""
    unit: str = ""
    """"bytes", "layers", "tokens", or "" for a bare share."""


@dataclass(frozen=True, slots=True)
class RunStarted(_Answer):
    """Both models are ready on a prompt, and steps may follow. This run replaces the earlier one."""

    run: int
    """The run's number, increased by one for each run of a session, so that late events of an older run can be
    recognised."""
    header: RunHeader


@dataclass(frozen=True, slots=True)
class BranchOpened(_Answer):
    """A fork: the branch is now the current one."""

    run: int
    branch: Branch


@dataclass(frozen=True, slots=True)
class BranchSelected(_Answer):
    """An earlier branch is the current one again."""

    run: int
    branch: int


@dataclass(frozen=True, slots=True)
class StepMeasured(_Answer):
    run: int
    branch: int
    record: StepRecord
    seconds: float = 0.0
    """How long measuring this step took."""


class Why(StrEnum):
    """Why a run is paused."""

    ASKED = "asked"
    FAILED = "failed"
    """A request has failed; a `Failed` event has the error."""
    UNTIL = "until"
    """A condition is met."""
    STEPS = "steps"
    """The settings' number of steps is done."""
    CONTEXT = "context"
    """The models' longest context is reached."""
    ENDED = "ended"
    """The text has ended."""
    TEXT = "text"
    """The given text is scored to its end."""
    INVALID = "invalid"
    """A model computed NaN or infinity and can't choose a token."""
    MEASURED = "measured"
    """As many steps as before are measured under a new prune setting."""
    KNOWN = "known"
    """The steps of this prune setting had been measured before."""
    CONTINUED = "continued"
    """The steps of a recording are measured again; the run goes on from there."""
    RECORDED = "recorded"
    """The recording ends here. This value and the two below are never written to a file."""
    CUT = "cut"
    """The recording is cut off within a line."""
    OPEN = "open"
    """Unknown: the recording ends without a pause. Its run may still be going on, or was cut off."""


@dataclass(frozen=True, slots=True)
class RunResumed(_Answer):
    run: int
    until: tuple[str, ...] = ()
    """The conditions it runs until, as `probes.schema.until.UNTIL_GRAMMAR` writes them."""


@dataclass(frozen=True, slots=True)
class RunPaused(_Answer):
    """A run is paused: why, and the data that a sentence about it needs (`explorer.words.pauses` writes it)."""

    run: int
    why: Why
    step: int = 0
    """The number of steps on the path that is shown."""
    more: int = 0
    """If the settings' number of steps is done: how many more steps it runs if it is resumed; 0 if it can't be
    resumed."""
    left: int = 0
    """Tokens of a given text that are not scored."""
    met: Met | None = None
    """The condition that is met."""
    invalid: Invalid | None = None
    """The model that computed NaN or infinity."""
    said: str = ""
    """The outcome of measuring recorded steps again, or the sentence of an older recording."""


@dataclass(frozen=True, slots=True)
class Explained(_Answer):
    """Something that explains a step, a span or the whole run was found. It may arrive long after the steps."""

    run: int
    branch: int
    """The branch that owns the step, not a later one that passes through it; 0 for the whole run."""
    step: int
    """The step, or the first one of a span; 0 if it is about the whole run."""
    found: Finding
    through: int | None = None
    """The last step of a span of several."""
    level: str = "sublayer"
    """How finely swaps and repairs are divided: the `level` of `Explain` and `FindRepair`."""
    final: bool = True
    """False while values still arrive, such as estimates before exact heals. Only final findings are recorded."""
    notes: tuple[str, ...] = ()
    """Sentences that a reader of the figures must know."""


@dataclass(frozen=True, slots=True)
class ItemScored(_Answer):
    """One item of a task is scored in both models."""

    result: ItemResult
    prompt: ItemPrompt | None = None
    """How to open it as a run; None if it can't be."""


@dataclass(frozen=True, slots=True)
class DocumentsCompared(_Answer):
    """The similarities of a retrieval task are known."""

    found: Similarities


@dataclass(frozen=True, slots=True)
class Judged(_Answer):
    """The verdict on the present setting, from the items scored so far; it is final once all are."""

    verdict: Verdict
    kept_in: str | None = None
    """The results file; "" if the results are in memory only, None if nothing is measured here."""


@dataclass(frozen=True, slots=True)
class PassagesFound(_Answer):
    """The passages that differ most, among those scored so far."""

    found: Passages
    final: bool = True


@dataclass(frozen=True, slots=True)
class PromptRendered(_Answer):
    """What the models would read under other settings; it is not recorded."""

    found: RenderedPrompt | None
    """None if these settings have no prompt that can be read."""
    fault: str = ""
    """Why not, in a sentence."""


@dataclass(frozen=True, slots=True)
class SweepRead(_Answer):
    """A sweep was read from its file, or its file has grown; it is not recorded."""

    sweep: Sweep
    """Its rows are judged by the margin of its header, which may be another one than the file's."""
    curves: tuple[Curve, ...]
    running: frozenset[str] = frozenset()
    """The keys of the cells that are being computed now, by whichever program."""


@dataclass(frozen=True, slots=True)
class Failed(_Answer):
    """A request failed; everything from before is unchanged."""

    title: str
    message: str
    hint: str = ""
    kind: FailureKind = FailureKind.FAILURE


@dataclass(frozen=True, slots=True)
class Noticed:
    """A short notice about this machine at this moment; it is not recorded."""

    title: str
    message: str


@dataclass(frozen=True, slots=True)
class PlaybackChanged(_Answer):
    """A recording was read, its playback changed, or another of its runs is shown; it is not recorded."""

    speed: float | None
    """In steps a second; None plays at the measured speed."""
    measured: float
    """The recording's median rate in steps a second; infinite if no step was timed."""
    loop: bool
    """True if playback begins again at the end."""
    runs: tuple[tuple[int, str], ...]
    """The runs of the file that have steps: the place of each, from 1, and a line about it."""
    shown: int
    """The place of the run that is shown."""


Event = (
    WorkProgressed
    | RunStarted
    | BranchOpened
    | BranchSelected
    | StepMeasured
    | Explained
    | ItemScored
    | DocumentsCompared
    | Judged
    | PassagesFound
    | PromptRendered
    | SweepRead
    | RunResumed
    | RunPaused
    | Failed
    | Noticed
    | PlaybackChanged
)
