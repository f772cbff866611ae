"""Compares the methods at a few amounts, on one model and one text: the removed share, the time, the figures.

All are measured on the text that the dense model writes after the prompt, so every setting sees the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from probes.models.loaded import Loaded
from probes.models.prompting import read_prompt
from probes.pair import Pair
from probes.prune.activations import NormCache
from probes.prune.apply import apply
from probes.schema.errors import BadInput
from probes.schema.header import PruneReport
from probes.schema.prune_setting import Method, parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OWN_TEXT, CalibrationSpec
from probes.schema.summary import Summary, summarise
from probes.system.progress import UNWATCHED, Work
from probes.twin.twin import Twin

RATIOS = (0.3, 0.5)
PATTERN = "2:4"


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One setting, carried out and measured."""

    setting: str
    gone: float
    """The share of the weights in the blocks' matrices that is zero or in a dropped sublayer, in [0, 1]."""
    seconds: float
    """The time of pruning, without reusing measurements of an earlier setting."""
    summary: Summary | None
    """The figures of the steps; None if it could not be carried out."""
    problem: str = ""
    """A sentence on why it could not be carried out."""


def every_setting() -> list[str]:
    """Each method at 0.3 and 0.5, and at 2:4 if it takes a pattern."""
    found = []
    for method in Method:
        if method.restores:
            continue
        found += [f"{method}:{ratio:g}" for ratio in RATIOS]
        # A pattern ranks within groups of four, so magnitude-global:2:4 is the same as magnitude:2:4.
        if method.unstructured and method is not Method.MAGNITUDE_GLOBAL:
            found.append(f"{method}:{PATTERN}")
        if method is Method.WANDA:
            found += [f"{method}:owl={ratio:g}" for ratio in RATIOS]
    return found


def survey(
    dense: Loaded,
    prompt: str,
    settings: Sequence[str],
    *,
    steps: int = 64,
    calibration: CalibrationSpec = OWN_TEXT,
    work: Work = UNWATCHED,
) -> list[Surveyed]:
    """Carries out each setting on the dense model, and compares `steps` tokens of the dense model's own text.

    A setting that this architecture does not allow is listed with the reason. Raises `BadInput` before any work if a
    setting can't be read.
    """
    parsed = [parse(text) for text in settings]
    twin = Twin(dense.model)
    run = RunSettings(prompt, follow=Follow.DENSE, steps=steps)
    read = read_prompt(dense.tokenizer, run)
    found = []
    for done, setting in enumerate(parsed):
        work.report("Trying every setting", done, len(parsed), "settings")
        NormCache.forget(dense.model)
        try:
            report = apply(twin, setting, dense, calibration, keep=False)
        except BadInput as problem:
            found.append(Surveyed(str(setting), 0.0, 0.0, None, problem.message))
            continue
        pruned = Loaded(twin.model, dense.tokenizer, replace(dense.info, fingerprint=""))
        with Pair(dense, pruned, report, twin).lockstep(run, read) as lockstep:
            summary = summarise(list(lockstep))
        found.append(Surveyed(str(setting), _gone(twin, report), report.seconds, summary))
    NormCache.forget(dense.model)
    return found


def _gone(twin: Twin, report: PruneReport) -> float:
    sizes = {matrix.name: twin.dense_weight(matrix.name).numel() for matrix in twin.anatomy.matrices}
    in_use = {matrix.name for matrix in twin.in_use}
    zeros = sum(matrix.zeros for matrix in report.matrices if matrix.name in in_use)
    return (zeros + sum(size for name, size in sizes.items() if name not in in_use)) / sum(sizes.values())
