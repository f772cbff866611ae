"""The requests to a source of steps, as plain data. Each has an id, which the events that answer it carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from probes.schema.prune_setting import Setting
from probes.schema.settings import RunSettings

Token = int | str
"""A token's id, or its text as the tokenizer reads it."""

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
class Prune(_Asked):
    """Prunes the dense model by another setting, then begins a new run with the same run settings."""

    setting: Setting


@dataclass(frozen=True, slots=True)
class Rank(_Asked):
    """Ranks the droppable parts by how much they change the residual stream, while stepping goes on.

    Answered by `WorkProgressed` and one `Explained` whose rows are called "importance", least important first.
    """

    kind: Literal["attn", "mlp", "block"] = "block"


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


Request = Step | Run | Pause | Cancel | Fork | Select | Restart | Prune | Rank | PlayAt | Repeat | ToEnd | ShowRun
