"""What happens while models load and step, as plain data: past-tense nouns, free of torch and of any interface.

The interface and the recorder are functions of these events and of nothing else, which is why a live run, a
replayed one and a scripted one look the same to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probes.schema.branches import Branch
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord


@dataclass(frozen=True, slots=True)
class WorkProgressed:
    """A slow piece of work (download, loading, calibrating, pruning, prefill) has moved on."""

    task: str
    """What a person reads: "Fetching SmolLM2-135M-Instruct"."""
    done: float | None = None
    total: float | None = None
    """None where it can't be known."""
    unit: str = ""
    """"bytes", "layers", "tokens", or "" for a bare share."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Both models are ready on a prompt; steps may follow. Replaces any earlier run."""

    run: int
    """Grows by one with each run of a session, so that late events of an older run can be told apart."""
    header: RunHeader


@dataclass(frozen=True, slots=True)
class BranchOpened:
    """A fork: the branch is now the current one."""

    run: int
    branch: Branch


@dataclass(frozen=True, slots=True)
class BranchSelected:
    """An earlier branch is the current one again."""

    run: int
    branch: int


@dataclass(frozen=True, slots=True)
class StepMeasured:
    run: int
    branch: int
    record: StepRecord
    seconds: float = 0.0
    """How long measuring this step took."""


class Why(StrEnum):
    """Why a run stands still."""

    ASKED = "asked"
    UNTIL = "until"
    """A run-until condition is met."""
    ENDED = "ended"
    """The text has ended."""
    STEPS = "steps"
    """The step limit, or the model's longest context, is reached."""
    INVALID = "invalid"
    """A model computed NaN or infinity and has no token to offer."""
    OPEN = "open"
    """Not known: a recording says no more. Its run may still be going on, or was cut off. Never written to a file."""


@dataclass(frozen=True, slots=True)
class RunResumed:
    run: int
    until: tuple[str, ...] = ()
    """The conditions it runs until, as `probes.schema.until.GRAMMAR` writes them."""


@dataclass(frozen=True, slots=True)
class RunPaused:
    run: int
    why: Why
    reason: str
    """A sentence: "KL 2.31 at step 14 is above 2"."""


Cell = str | int | float | bool | None
"""One value of an explanation's row."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Something computed about a step besides its record: rows of a table."""

    run: int
    branch: int
    step: int
    what: str
    """What the rows are: "layers" (one row a layer, with a `layer` column), "heal", or another name."""
    rows: tuple[dict[str, Cell], ...]
    through: int | None = None
    """The last step, where the rows speak of a span that begins at `step`."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something asked for could not be done; what was there before is still there."""

    title: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something worth a short notice that concerns this machine and this moment; it is not recorded."""

    title: str
    message: str


Event = (
    WorkProgressed
    | RunStarted
    | BranchOpened
    | BranchSelected
    | StepMeasured
    | Explained
    | RunResumed
    | RunPaused
    | Failed
    | Noticed
)
