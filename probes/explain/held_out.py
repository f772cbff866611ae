"""Text that a repair was not fitted to: the steps after the span, or those after a second prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.settings import Follow
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work

STEPS = 32
"""The most steps that are held out."""
TASK = "Reading the held-out text"
_SHOWN = 40
"""Characters of a prompt in a phrase."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A context, and how many of its last positions are held out."""

    ids: tuple[int, ...]
    positions: int
    text: str
    """The source of the text, in a phrase."""


def after_span(lockstep: Lockstep, last: int, work: Work) -> HeldOut | None:
    """The steps after a span that ends with step `last`: those that the run has taken, and as many more as it would
    take. They are taken with caches of their own, so the run is left unchanged. None if the text ends with the span."""
    with lockstep.continued() as ahead:
        end = _stepped(ahead, last + STEPS, work)
        if end <= last:
            return None
        ids = tuple(ahead.shared_context(end))
    steps = end - last
    return HeldOut(ids, steps, f"the {steps} steps after the span" if steps > 1 else "the step after the span")


def after_prompt(pair: Pair, lockstep: Lockstep, prompt: str, work: Work) -> HeldOut:
    """The steps after a second prompt, which both models read while the dense one writes. Raises `BadInput` if the
    prompt can't be used. It takes the place of the run's own prompt, after the same turns."""
    settings = replace(lockstep.settings, prompt=prompt, begun="", text="", steps=0, follow=Follow.DENSE)
    with pair.lockstep(settings) as second:
        end = _stepped(second, STEPS, work)
        if not end:
            raise BadInput("Held-out text", "Nothing can be measured after that prompt.", "Choose another one.")
        ids = tuple(second.shared_context(end))
    shown = " ".join(prompt.split())
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return HeldOut(ids, end, f"{end} steps after “{shown}”")


def _stepped(lockstep: Lockstep, last: int, work: Work) -> int:
    """Steps up to `last`, and returns the last step at which both models share a context."""
    while len(lockstep.path) < last and not lockstep.finished:
        work.report(TASK, len(lockstep.path), last, "steps")
        lockstep.step()
    there = len(lockstep.path)
    # in `free` the dense text may have ended before
    shared = next((n for n, record in enumerate(lockstep.path, 1) if record.taken is None), there)
    return min(shared, there, last)
