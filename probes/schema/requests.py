"""The requests to a source of steps, as plain data. Each has an id, which the events that answer it carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from probes.schema.findings import Kind
from probes.schema.part import Part
from probes.schema.passages import Order
from probes.schema.prune_setting import Setting
from probes.schema.repair import RepairGoal, RepairLevel
from probes.schema.settings import RunSettings
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.schema.watch import WatchedGroup

Token = int | str
"""A token's id, or its text as the tokenizer reads it."""

SwapLevel = Literal["sublayer", "matrix", "head"]
"""What is exchanged one by one: sublayers, their matrices, or attention heads and key/value groups."""

_next_id = count(1).__next__


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A request to a source."""

    id: int = field(default_factory=_next_id, compare=False)
    """Its number; later requests have larger ones. Requests that differ only in it are equal."""


@dataclass(frozen=True, slots=True)
class Step(_Asked):
    """Releases one step of the current branch, at once if it was read ahead."""


@dataclass(frozen=True, slots=True)
class Run(_Asked):
    """Releases steps until the run is paused, has ended, or one of the conditions is met."""

    until: tuple[str, ...] = ()
    """Conditions as `probes.schema.until.UNTIL_GRAMMAR` writes them."""


@dataclass(frozen=True, slots=True)
class Pause(_Asked):
    """Pauses the run, and cancels an earlier `Run` that has not begun."""


@dataclass(frozen=True, slots=True)
class Cancel(_Asked):
    """Stops slow work; everything from before stays."""

    request: int = 0
    """The id of the request to stop; 0 stops the download, load or calibration that the run waits for."""


@dataclass(frozen=True, slots=True)
class Fork(_Asked):
    """Opens a branch at a step with a token forced on the dense context, the pruned one, or both.

    If both models share a context, the given token is forced on it.
    """

    step: int
    dense: Token | None = None
    pruned: Token | None = None


@dataclass(frozen=True, slots=True)
class Select(_Asked):
    """Makes another branch the current one."""

    branch: int


@dataclass(frozen=True, slots=True)
class Restart(_Asked):
    """Begins a new run on the same models with another prompt, context or sampler."""

    settings: RunSettings


@dataclass(frozen=True, slots=True)
class RenderPrompt(_Asked):
    """Shows what the models would read under these settings, and changes nothing. Answered by `PromptRendered`."""

    settings: RunSettings


@dataclass(frozen=True, slots=True)
class Watch(_Asked):
    """Follows other tokens: begins a new run of the same tokens, in which the steps so far are measured again."""

    groups: tuple[WatchedGroup, ...] = ()
    """Empty follows none."""


@dataclass(frozen=True, slots=True)
class Prune(_Asked):
    """Prunes the dense model by another setting, then begins a new run with the same run settings."""

    setting: Setting


@dataclass(frozen=True, slots=True)
class Rank(_Asked):
    """Ranks the droppable parts by how much they change the residual stream, while stepping goes on.

    Answered by `WorkProgressed` and one `Explained` with a `Ranking`.
    """

    kind: Literal["attn", "mlp", "block"] = "block"


@dataclass(frozen=True, slots=True)
class Explain(_Asked):
    """Explains a step of the current branch, or a span of steps, while stepping goes on.

    Answered by `WorkProgressed` and an `Explained` for each kind as it is found; some kinds come more than once, and
    only the last is final. What was found before is sent again at once. `Cancel` with this id stops it, and what has
    arrived stays.
    """

    step: int
    through: int | None = None
    """The last step of a span, which is explained as a whole. Kinds that are about one step are then left out."""
    kinds: tuple[Kind, ...] = ("layers", "split", "quadrants", "swaps")
    """In this order. Asking only for kinds that can't be about the span is an error."""
    level: SwapLevel = "sublayer"
    """What is exchanged: whole sublayers, or what they are made of."""
    within: Part | None = None
    """The sublayer whose matrices or heads are exchanged; None exchanges those of all. What is found is sent together
    with the pieces of other sublayers that were found before."""
    near: int | None = None
    """If given, each step of the span is explained alone and gets its own `Explained`; the steps nearest to this one
    come first."""


@dataclass(frozen=True, slots=True)
class FindRepair(_Asked):
    """Searches for the smallest set of sublayers, matrices or weights to give back, while stepping goes on.

    Answered by `WorkProgressed` and `Explained` with a `Repair`, final once the search is done.
    """

    step: int
    through: int | None = None
    """The last step of the span that the repair is fitted to."""
    target_kl: float | None = None
    """The mean KL over the span to get below, in nats."""
    budget: int | None = None
    """The most parameters to give back."""
    level: RepairLevel = "sublayer"
    held_out: str = ""
    """A second prompt to measure the repair on; "" takes the steps after the span."""
    target_agreement: float | None = None
    """The share of the span's steps at which both models shall choose the same token."""
    no_split: bool = False
    """True asks that no step up to and including the first split differs any longer."""

    @property
    def goal(self) -> RepairGoal:
        """When enough is given back. Raises `BadInput` for a target that can't be one."""
        return RepairGoal(self.target_kl, self.target_agreement, self.no_split, self.budget)


@dataclass(frozen=True, slots=True)
class Judge(_Asked):
    """Scores the items of tasks in both models, while stepping goes on, and says for which tasks the setting is safe.

    Answered by `WorkProgressed`, an `ItemScored` for each item, a `DocumentsCompared` for each retrieval task, and a
    `Judged` now and then; the last one is final. What was scored before under this setting is sent again at once.
    `Cancel` with this id stops it, and what has arrived stays.
    """

    tasks: tuple[str, ...] = ()
    """Names of the sets that ship, and files of items; empty takes all that ship."""
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL
    only_known: bool = False
    """True scores nothing and sends no item: it judges those that were scored before."""


@dataclass(frozen=True, slots=True)
class FindPassages(_Asked):
    """Scores the passages of a text, a folder, a JSON Lines file or a set of prompts, while stepping goes on, and lists
    those at which the models differ most.

    Answered by `WorkProgressed` and `PassagesFound`, the last one final.
    """

    where: str
    """A file or a folder, or the name of a set that ships."""
    order: Order = "mean_kl"
    most: int = 50
    """How many to list."""


# Of a recording only.


@dataclass(frozen=True, slots=True)
class PlayAt(_Asked):
    """Plays at another speed, in steps a second; None is the measured speed."""

    speed: float | None = None


@dataclass(frozen=True, slots=True)
class Repeat(_Asked):
    """Sets whether playback begins again at the end of the recording."""

    on: bool


@dataclass(frozen=True, slots=True)
class ToEnd(_Asked):
    """Shows the rest of the recorded run at once."""


@dataclass(frozen=True, slots=True)
class ShowRun(_Asked):
    """Shows another run of the recording, whole."""

    place: int
    """Among the runs of the file, from 1."""


Request = (
    Step
    | Run
    | Pause
    | Cancel
    | Fork
    | Select
    | Restart
    | RenderPrompt
    | Watch
    | Prune
    | Rank
    | Explain
    | FindRepair
    | Judge
    | FindPassages
    | PlayAt
    | Repeat
    | ToEnd
    | ShowRun
)
