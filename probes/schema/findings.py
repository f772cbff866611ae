"""Everything that explains a token or a run, as one type: the value of an `Explained` event, a recorded line, a screen.

Frozen data without torch. The formulas are in docs/figures.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from probes.schema.explanation import Layers, Swaps
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.noise_floor import NoiseFloor
from probes.schema.part_ranking import Ranking
from probes.schema.quadrants import Quadrants
from probes.schema.recorded_table import RecordedTable
from probes.schema.repair import Repair
from probes.schema.split_anatomy import SplitAnatomy

Finding = Layers | Swaps | Quadrants | SplitAnatomy | ForkVerdict | NoiseFloor | Repair | Ranking | RecordedTable

Kind = Literal["layers", "split", "quadrants", "fork", "swaps", "noise_floor"]
"""A kind of finding that `Explain` can ask for."""

KINDS: Mapping[str, type[Finding]] = {
    "layers": Layers,
    "swaps": Swaps,
    "quadrants": Quadrants,
    "split": SplitAnatomy,
    "fork": ForkVerdict,
    "noise_floor": NoiseFloor,
    "repair": Repair,
    "importance": Ranking,
}
"""Each kind by the name that it has in requests, recordings and the JSON of `phier explain`."""

OF_A_RUN = frozenset({"noise_floor", "importance"})
"""The kinds that belong to the two models, so to the whole run and to no step: their event's step is 0."""

OF_A_SPAN = frozenset({"swaps", "repair"})
"""The kinds that can be about several steps together. All others that are about steps are about one."""


def kind_of(finding: Finding) -> str:
    """The name of a finding's kind; that of an older recording's table is what the recording calls it."""
    if isinstance(finding, RecordedTable):
        return finding.what
    return next(name for name, kind in KINDS.items() if isinstance(finding, kind))
