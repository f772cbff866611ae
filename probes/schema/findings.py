"""The findings that explain steps, as one union. `explorer` draws, records and exports them by their kind."""

from __future__ import annotations

from collections.abc import Mapping

from probes.schema.explanation import Layers, Swaps
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.noise_floor import NoiseFloor
from probes.schema.quadrants import Quadrants
from probes.schema.repair import Repair
from probes.schema.split_anatomy import SplitAnatomy

Finding = Layers | Swaps | Quadrants | SplitAnatomy | ForkVerdict | NoiseFloor | Repair

KINDS: Mapping[str, type[Finding]] = {
    "layers": Layers,
    "swaps": Swaps,
    "quadrants": Quadrants,
    "split": SplitAnatomy,
    "fork": ForkVerdict,
    "noise_floor": NoiseFloor,
    "repair": Repair,
}
"""Each kind by the name that it has in requests, recordings and the JSON of `phier explain`."""


def kind_of(finding: Finding) -> str:
    """The name of a finding's kind."""
    return next(name for name, kind in KINDS.items() if isinstance(finding, kind))
