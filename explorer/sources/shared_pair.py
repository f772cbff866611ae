"""One pair of models that several runs use in turns, each with a prune setting of its own.

The dense model and the twin are loaded once. A turn is one step, one text, one pruning: when a run's turn begins, the
twin is brought into that run's state, and when it ends, the state is kept. So no run sees another one's setting, and
each figure is the one that it would measure alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from explorer.sources.lane import Turns
from explorer.sources.live import Loader
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair
    from probes.twin.twin_state import TwinState


class SharedPair:
    """The models, and whose turn it is with them."""

    def __init__(self, load: Loader) -> None:
        """`load` gives a pair that computes one model after the other: a process of the dense one can't be shared."""
        self._load = load
        self.turns = Turns()
        self.pair: Pair | None = None
        """Once it is loaded."""
        self.long_turn: OwnTurns | None = None
        """The run whose turn is a long one, such as a pruning."""

    def loaded(self, work: Work) -> Pair:
        """The pair, loaded by the first run that needs it; within a turn."""
        if self.pair is None:
            self.pair = self._load(work)
        return self.pair


class OwnTurns(Turns):
    """One run's turns with the shared models."""

    def __init__(self, shared: SharedPair, waits: Callable[[], None]) -> None:
        """`waits` is called when a turn has to wait until another run's long one has ended."""
        super().__init__()
        self._shared, self._waits = shared, waits
        self._state: TwinState | None = None
        """This run's; None before its first turn has ended."""

    @contextmanager
    def turn(self, *, brief: bool = False) -> Iterator[None]:
        """Waits for the models, and holds them while the block lasts."""
        if self._shared.long_turn not in (None, self):
            self._waits()
        with self._shared.turns.turn(brief=brief):
            if not brief:
                self._shared.long_turn = self
            self._enter()
            try:
                yield
            finally:
                self._leave()
                if not brief:
                    self._shared.long_turn = None

    def pass_on(self, *, everybody: bool = False) -> None:
        """Lets every waiting run and thread have its turn, then takes the models again."""
        self._leave()
        self._shared.turns.pass_on(everybody=everybody)
        self._enter()

    def _enter(self) -> None:
        twin = self._shared.pair.twin if self._shared.pair is not None else None
        if twin is not None and self._state is not None and self._state is not twin.state:
            twin.set_state(self._state)

    def _leave(self) -> None:
        if self._shared.pair is not None and self._shared.pair.twin is not None:
            self._state = self._shared.pair.twin.state
