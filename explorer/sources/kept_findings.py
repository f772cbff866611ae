"""The findings of earlier prune settings, so that a setting that comes back is explained at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from probes.schema.events import Explained
from probes.schema.record import StepRecord
from probes.schema.settings import RunSettings

MOST_FINDINGS = 2000
"""How many findings are kept in all; those of the setting used longest ago are forgotten first."""


class KeptFindings:
    """Findings by prune setting, run settings and path: what decides every figure of one sitting's models."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, RunSettings], tuple[list[StepRecord], list[Explained]]] = OrderedDict()

    def keep(self, setting: str, settings: RunSettings, path: Sequence[StepRecord], found: Iterable[Explained]) -> None:
        """Remembers what was found about a path under a setting, in place of what was remembered before."""
        findings = list(found)
        if not findings:
            return
        self._kept[setting, settings] = list(path), findings
        self._kept.move_to_end((setting, settings))
        while len(self._kept) > 1 and sum(len(found) for _, found in self._kept.values()) > MOST_FINDINGS:
            self._kept.popitem(last=False)

    def find(self, setting: str, settings: RunSettings, path: Sequence[StepRecord]) -> list[Explained]:
        """What is known about the steps of this path, as findings of its first branch."""
        kept, findings = self._kept.get((setting, settings), ([], []))
        both = enumerate(zip(kept, path, strict=False))
        same = next((place for place, (one, other) in both if one != other), min(len(kept), len(path)))
        return [replace(event, branch=0) for event in findings if (event.through or event.step) <= same]
