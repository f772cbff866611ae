"""The recordings that ship agree with themselves: their sums are those of their steps, by an independent count."""

from __future__ import annotations

import math

import pytest

from explorer.shipped import DEMO, shipped_folder
from probes.session import RecordedRun, read


@pytest.fixture(params=sorted(path.name for path in shipped_folder().glob("*.jsonl")))
def recording(request: pytest.FixtureRequest) -> RecordedRun:
    session = read(shipped_folder() / request.param)
    assert session.notes == []
    assert len(session.runs) == 1
    return session.last


def test_the_demo_is_one_of_them() -> None:
    assert (shipped_folder() / DEMO).is_file()


def test_the_sums_follow_from_the_steps(recording: RecordedRun) -> None:
    path = recording.path
    shared = [record.shared for record in path]
    last = path[-1].sum
    assert last.kl == pytest.approx(math.fsum(record.p.kl for record in path if record.p), rel=1e-12)
    assert last.kl_local == pytest.approx(math.fsum(one.p.kl for one in shared if one), rel=1e-12)
    assert last.survival == pytest.approx(math.prod(1 - one.p.tv for one in shared if one), rel=1e-9)
    ratios = [
        math.log(record.taken.p / record.taken.q)
        for record, one in zip(path, shared, strict=True)
        if one and record.taken
    ]
    assert last.log_ratio == pytest.approx(math.fsum(ratios), rel=1e-9)
    agreed = [record.agree for record in path if record.agree is not None]
    assert last.agree_rate == pytest.approx(sum(agreed) / len(agreed))
    splits = [r.step for r in path if r.dense and r.pruned and r.dense.token_id != r.pruned.token_id]
    assert last.first_split == (splits[0] if splits else None)


def test_each_step_is_consistent_within_itself(recording: RecordedRun) -> None:
    for record in recording.path:
        for one in (record.shared, record.local):
            if one is None:
                continue
            h, z, p = one.h, one.z, one.p
            assert h.cos == pytest.approx(math.cos(math.radians(h.angle)), abs=1e-9)
            assert z.rms**2 >= z.rms_centred**2 * (1 - 1e-9)
            assert p.tv <= math.sqrt(p.kl / 2) + 1e-9, "Pinsker's inequality"
            assert 0 <= p.js <= math.log(2)
            assert all(0 <= token.q <= 1 for token in one.top)
            assert math.fsum(token.p for token in one.top) <= 1 + 1e-6
            assert p.rank_dense_in_pruned >= 1
