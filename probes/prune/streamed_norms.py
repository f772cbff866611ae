"""Measures norms of the inputs of matrices in one pass through the twin, before the setting removes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from secrets import token_hex

from torch import Tensor

from probes.calibration.samples import CalibrationSamples
from probes.prune import criteria
from probes.prune.activations import NormCache, Norms
from probes.prune.block_walk import stream, watched
from probes.system.progress import Work
from probes.twin.anatomy import Matrix
from probes.twin.twin import Twin


class StreamedNorms:
    """‖x_j‖₂ of the inputs of matrices, for the twin as it is when this object is made."""

    def __init__(self, twin: Twin, samples: Callable[[], CalibrationSamples], work: Work) -> None:
        self._twin, self._samples, self._work = twin, samples, work
        self.notes: list[str] = []

    def norms(self, names: Sequence[str]) -> dict[str, Tensor]:
        """By matrix, (inputs,): from the cache, or measured now."""
        cache, key = NormCache.of(self._twin.dense), f"once {self.depends_on()}"
        known = cache.recall(key, names)
        if known is not None:
            self.notes.append("The activations were measured before and reused: they do not depend on the amount.")
            return dict(known)
        norms = Norms()
        with watched(self._twin.model, names, norms.see):
            stream(self._twin.model, self._samples().ids, work=self._work, task="Measuring activations")
        found = {name: norms.norms(name) for name in names}
        cache.keep(key, found)
        return found

    def wanda_scores(self, matrices: Sequence[Matrix]) -> Iterator[Tensor]:
        """The Wanda scores of matrices, one after another."""
        norms = self.norms([matrix.name for matrix in matrices])
        for matrix in matrices:
            scores = criteria.wanda(self._twin.starting_weight(matrix.name), norms[matrix.name])
            criteria.check_finite(scores, matrix.name)
            yield scores

    def depends_on(self) -> str:
        """A key of the activations: the calibration text, and the weights that are removed from the twin now."""
        state = self._twin.state
        # A replaced weight has no hash, so activations after one get a random key and are not reused.
        replaced = any(change.weight is not None for change in state.changes.values())
        return f"{self._samples().info.sha256} {state.hash} {token_hex() if replaced else ''}"
