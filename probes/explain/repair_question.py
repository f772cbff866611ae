"""The input of a search for a repair: a twin, the setting it is in, and the steps to fit the repair to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probes.explain.held_out import HeldOut
from probes.explain.search import Score
from probes.models.fingerprint import configuration
from probes.models.loaded import with_fingerprint
from probes.pair import Pair
from probes.prune.fitted_text import FittedText
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import Setting, parse
from probes.schema.repair import Gain, RepairGoal
from probes.stepping.lockstep import Lockstep
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState

_TAIL = 40
"""Tokens at the end of the context that the file of restored weights shows as text."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """The twin in one state, and the context whose last positions are the steps to repair."""

    twin: Twin
    state: TwinState
    setting: Setting
    fitted: FittedText
    facts: tuple[object, ...]
    """Other facts that a measured set depends on."""

    @classmethod
    def of(cls, pair: Pair, lockstep: Lockstep, steps: range) -> Question:
        """Raises `BadInput` for steps that are not there, and for a model that was not pruned here."""
        if pair.twin is None or pair.report is None:
            message = f"{pair.pruned.info.name} was not pruned here, so no setting can give anything back to it."
            raise BadInput("Nothing to repair", message, "See what heals it with phier explain.")
        context = lockstep.shared_context(steps[-1])
        lockstep.shared_context(steps[0])
        dense = with_fingerprint(pair.dense)
        fitted = FittedText(
            ids=tuple(context),
            positions=len(steps),
            temperature=lockstep.settings.analysis_t,
            vocabulary=lockstep.vocabulary,
            model=dense.info.fingerprint,
            name=dense.info.name,
            setting=pair.report.setting,
            text="".join(map(lockstep.piece, context[-_TAIL:])),
        )
        facts = configuration(dense.model), pair.twin.state.hash, dense.info.device
        return cls(pair.twin, pair.twin.state, parse(pair.report.setting), fitted, facts)

    @property
    def fitted_facts(self) -> list[object]:
        """All that a measured set depends on, as JSON."""
        fitted = self.fitted
        compared = [fitted.positions, fitted.temperature, fitted.vocabulary]
        return [fitted.model, fitted.setting, list(fitted.ids), *compared, *self.facts]

    def on(self, held_out: HeldOut) -> FittedText:
        """The held-out text, compared as the span is."""
        return replace(self.fitted, ids=held_out.ids, positions=held_out.positions)

    def check_unchanged(self) -> None:
        """Raises `Failure` if the twin has been pruned by another setting meanwhile."""
        if self.twin.state is not self.state:
            message = "The pruned model was changed while a repair of it was searched for."
            raise Failure("Changed meanwhile", message, "Search again.")


def already_met(goal: RepairGoal, before: Score) -> BadInput:
    """The error for a goal that needs no repair."""
    steps = f"{len(before.same)} steps" if len(before.same) > 1 else "step"
    figures = f"KL {before.kl:.4g}, the same top token at {sum(before.same)} of {len(before.same)}"
    what = "no step splits" if goal.kl is None and goal.agreement is None else "the target is met"
    return BadInput(
        "Nothing to repair",
        f"Without giving anything back {what} in the {steps} ({figures}).",
        "Ask for a lower --target-kl, or choose other steps.",
    )


def gain(before: Score, after: Score) -> Gain:
    """Two scores of one text as figures."""
    return Gain(len(before.same), before.kl, after.kl, before.agreement, after.agreement)
