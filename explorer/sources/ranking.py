"""Ranks the droppable parts of the pruned model, one calibration text at a time, so that steps can run in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from explorer.sources.lane import Turns
from probes.schema.errors import BadInput
from probes.schema.events import WorkProgressed
from probes.schema.part import Part
from probes.schema.part_ranking import RankedPart, Ranking
from probes.system.progress import Work

if TYPE_CHECKING:
    from probes.pair import Pair


def ranked(
    pair: Callable[[], Pair],
    kind: Literal["attn", "mlp", "block"],
    models: Turns,
    work: Work,
) -> Ranking:
    """Every part that still runs with its influence.

    The influence is the mean over the calibration text of `probes.prune.importance`. Each text is read in a turn of its
    own. Raises `BadInput` if the second model was made elsewhere, or if it is pruned by another setting meanwhile.
    """
    from probes.calibration.samples import samples
    from probes.prune.importance import importance

    def shown(progress: WorkProgressed) -> None:
        if work.progress is not None:
            work.progress(progress)
        models.pass_on()  # no hook is in place while the calibration text is made

    with models.turn():
        asked = pair()
        twin, setting = asked.twin, asked.made_by
        if twin is None:
            raise BadInput("Nothing to rank", "The pruned model was made elsewhere.", "Prune the dense model here.")
        texts = samples(asked.calibration, asked.dense, Work(shown, work.cancelled)).ids
    task = f"Ranking each {kind}"
    sums: dict[Part, float] = {}
    for place in range(len(texts)):
        work.report(task, place, len(texts), "texts")
        with models.turn():
            if (pair().twin, pair().made_by) != (twin, setting):
                raise BadInput(
                    "Nothing to rank", "The pruned model changed while it was being ranked.", "Rank it again."
                )
            for name, influence in importance(
                twin, kind, texts[place : place + 1], replace(work, progress=None)
            ).items():
                sums[name] = sums.get(name, 0.0) + influence / len(texts)
    work.report(task, len(texts), len(texts), "texts")
    least_first = sorted(sums, key=lambda part: sums[part])
    return Ranking(tuple(RankedPart(part.kind, part.layer, sums[part]) for part in least_first))
