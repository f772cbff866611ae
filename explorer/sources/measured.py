"""The paths that were measured under each prune setting, so that a setting that comes back shows its steps at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from probes.schema.record import StepRecord
from probes.schema.settings import RunSettings

Forced = tuple[int | None, int | None]
"""Tokens that a step takes whatever the models choose, on the dense (or the shared) context and on the pruned one."""
FREELY: Forced = (None, None)
MOST_PATHS = 16
"""How many paths are remembered; the one used longest ago is forgotten first."""


class MeasuredPaths:
    """Paths by prune setting, run settings and forced tokens: what decides every figure of one sitting's models."""

    def __init__(self) -> None:
        self._paths: OrderedDict[tuple[object, ...], list[StepRecord]] = OrderedDict()

    def keep(self, setting: str, settings: RunSettings, path: Sequence[StepRecord]) -> None:
        """Remembers a path of the pruned model that this setting makes."""
        if not path:
            return
        key = (setting, settings, tuple(forced_at(record) for record in path))
        self._paths[key] = list(path)
        self._paths.move_to_end(key)
        while len(self._paths) > MOST_PATHS:
            self._paths.popitem(last=False)

    def find(self, setting: str, settings: RunSettings, forced: Mapping[int, Forced]) -> list[StepRecord]:
        """The longest known path of this setting with these forced tokens; empty if there is none."""
        found = [
            path[: _as_forced(path, forced)]
            for (name, asked, _), path in self._paths.items()
            if (name, asked) == (setting, settings)
        ]
        return max(found, key=len, default=[])


def forced_at(record: StepRecord) -> Forced:
    """The tokens that were forced at a step."""
    dense, pruned = record.taken, record.taken_pruned
    return (
        dense.token_id if dense is not None and dense.forced else None,
        pruned.token_id if pruned is not None and pruned.forced else None,
    )


def _as_forced(path: Sequence[StepRecord], forced: Mapping[int, Forced]) -> int:
    """How many steps of the path took exactly the tokens that are forced."""
    differs = (place for place, one in enumerate(path) if forced_at(one) != forced.get(one.step, FREELY))
    return next(differs, len(path))
