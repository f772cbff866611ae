"""Where steps come from: live models, a recorded session, or a script. One interface, so the screens can't tell.

Every method returns at once; what comes of it arrives as events through the sink, from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from probes.schema.events import Event
from probes.schema.prune_setting import Setting
from probes.schema.settings import RunSettings

Token = int | str
"""A token's id, or its text as the tokenizer reads it."""
Sink = Callable[[Event], None]
"""Takes events in order; safe to call from any thread."""


class Source(Protocol):
    """What the app asks for steps."""

    live: bool
    """True where models compute; False where what can be shown was recorded."""

    def open(self, sink: Sink) -> None:
        """Starts the work. First events: `WorkProgressed`…, then `RunStarted`, or `Failed`."""

    def close(self) -> None:
        """Stops all work and returns within a second; nothing measured is lost."""

    def step(self) -> None:
        """Releases one step of the current branch; from read-ahead where it is there already."""

    def run(self, until: Sequence[str] = ()) -> None:
        """Releases steps until paused, ended, or one of the conditions (`probes.schema.until.GRAMMAR`) is met."""

    def pause(self) -> None: ...

    def cancel(self) -> None:
        """Stops a download, a load or a calibration; what was there before stays."""

    def fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None:
        """Opens a branch at `step` with a token forced on the dense context, the pruned one, or both.

        Where both share a context a single token is forced on it, whichever of the two is given.
        """

    def select(self, branch: int) -> None:
        """Makes another branch the current one."""

    def restart(self, settings: RunSettings) -> None:
        """Begins a new run on the same models with another prompt, context or sampler."""

    def prune(self, setting: Setting) -> None:
        """Makes the pruned model anew by a setting, then begins a new run with the same run settings."""
