"""Sentences on what a change of the prune setting did: it is being measured, or before and after."""

from __future__ import annotations

from explorer.words import numbers
from explorer.words.bound_keys import key_of
from probes.schema.record import StepRecord
from probes.schema.summary import Summary


def measuring_again(done: int, count: int) -> str:
    """While the new setting has not measured the steps of the one before."""
    return f"The setting was changed. The same steps are measured again: {done} of {count} …"


def before_after(steps: int, before: Summary, after: Summary, old: StepRecord, new: StepRecord) -> str:
    """What the change did to one step and to all that both settings have, and where there is more."""
    here = ""
    if old.shared is not None and new.shared is not None:
        kls = (numbers.significant(one.shared.p.kl) for one in (old, new) if one.shared is not None)
        here = f"step {old.step} KL {' → '.join(kls)} nat{_token(old, new)}; "
    sums = " → ".join(numbers.significant(one.kl_shared_sum) for one in (before, after))
    splits = " → ".join("none" if one.first_split is None else f"step {one.first_split}" for one in (before, after))
    return (
        f"Before → after the change of the setting: {here}over {steps} steps ΣKL {sums} nat, first split {splits}. "
        f"{key_of('grid')} (layers) on the main screen compares every figure."
    )


def _token(old: StepRecord, new: StepRecord) -> str:
    if old.agree is None or new.agree is None or old.agree == new.agree:
        return ""
    return ", the dense token returns" if new.agree else ", the tokens differ now"
