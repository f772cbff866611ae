"""Forces either model's token into the other at one step, and follows what that one writes for some steps."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from probes.schema.bounds import LONGEST_TOKEN
from probes.schema.fork_verdict import AGREE_COLLAPSES, AGREE_RECOVERS, FOLLOWED, ForkedRun, ForkVerdict, Recovery
from probes.schema.record import Choice, StepRecord
from probes.schema.settings import Follow
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work

FOLLOWING = "Following both forks"
_LONGEST_LOOP = 8
"""Tokens that may repeat in a loop."""
_TURNS, _LEAST = 3, 8
"""A text ends in a loop if it ends in so many turns of it, and in so many tokens."""


def measure_fork(
    lockstep: Lockstep, path: Sequence[StepRecord], *, steps: int = FOLLOWED, work: Work = UNWATCHED
) -> ForkVerdict | None:
    """At the step after `path`: what the pruned model writes after the dense token, and the dense model after the
    pruned token.

    Each writes at most `steps` tokens on, while the other reads the same text. The path is that of a run on which the
    models shared a context at this step. None if both choose one token there, or one can't choose. The run is left as
    it is. Raises `Cancelled`.
    """
    work.check(FOLLOWING)
    with lockstep.apart(Follow.DENSE) as dense_writes, lockstep.apart(Follow.PRUNED) as pruned_writes:
        dense_writes.seek(path)
        record = dense_writes.step()
        if record.dense is None or record.pruned is None or record.dense.token_id == record.pruned.token_id:
            return None
        into_pruned = _followed(pruned_writes, path, record.dense, steps, 0, work)
        into_dense = _followed(dense_writes, path, record.pruned, steps, steps, work)
    return ForkVerdict(into_pruned, into_dense)


def ends_in_loop(ids: Sequence[int]) -> bool:
    """Does a text end in the same few tokens again and again?

    In at least three turns of at most eight tokens, and at least eight tokens in all.
    """
    for period in range(1, _LONGEST_LOOP + 1):
        tail = ids[-max(_TURNS * period, _LEAST) :]
        if len(tail) >= max(_TURNS * period, _LEAST) and tail[period:] == tail[:-period]:
            return True
    return False


def recovery(steps: int, agree_rate: float, *, repeats: bool, invalid: bool) -> Recovery:
    """The verdict on one model after a forced token, by its agreement with the other one."""
    if invalid:
        return Recovery.COLLAPSES
    if not steps:
        return Recovery.ENDS
    if repeats or agree_rate < AGREE_COLLAPSES:
        return Recovery.COLLAPSES
    return Recovery.RECOVERS if agree_rate >= AGREE_RECOVERS else Recovery.DRIFTS


def _followed(
    lockstep: Lockstep, path: Sequence[StepRecord], forced: Choice, steps: int, done: int, work: Work
) -> ForkedRun:
    lockstep.seek(path)
    records: list[StepRecord] = []
    written = [lockstep.step(dense=forced.token_id)]
    while len(records) < steps and not lockstep.finished:
        work.report(FOLLOWING, done + len(records), 2 * steps, "steps")
        record = lockstep.step()
        written.append(record)
        if record.own is not None:
            records.append(record)
    taken = [record.taken for record in written if record.taken is not None]
    kls = [record.own.p.kl for record in records if record.own is not None]
    agree_rate = fmean(record.agree is True for record in records) if records else 0.0
    repeats = ends_in_loop([one.token_id for one in taken])
    invalid = written[-1].invalid is not None
    return ForkedRun(
        forced=forced.token,
        steps=len(records),
        agree_rate=agree_rate,
        kl=fmean(kls) if kls else 0.0,
        kl_last=fmean(kls[-max(1, len(kls) // 4) :]) if kls else 0.0,
        repeats=repeats,
        text="".join(one.text for one in taken)[:LONGEST_TOKEN],
        verdict=recovery(len(records), agree_rate, repeats=repeats, invalid=invalid),
    )
