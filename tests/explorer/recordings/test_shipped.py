"""The recordings that ship agree with themselves: their sums are those of their steps, by an independent count."""

from __future__ import annotations

import math

import pytest

from explorer.recordings.shipped import DEMO_RECORDING, TOUR_RECORDING, shipped_folder
from probes.recording import RecordedRun, read


@pytest.fixture(params=[*sorted(path.name for path in shipped_folder().glob("*.jsonl")), TOUR_RECORDING])
def recording(request: pytest.FixtureRequest) -> RecordedRun:
    session = read(shipped_folder() / request.param)
    assert session.notes == []
    assert len(session.runs) == 1
    return session.last


def test_the_demo_is_one_of_them() -> None:
    assert (shipped_folder() / DEMO_RECORDING).is_file()


def test_the_sums_follow_from_the_steps(recording: RecordedRun) -> None:
    path = recording.path
    shared = [record.shared for record in path]
    last = path[-1].sum
    assert last.kl == pytest.approx(math.fsum(record.own.p.kl for record in path if record.own), rel=1e-12)
    assert last.kl_shared == pytest.approx(math.fsum(one.p.kl for one in shared if one), rel=1e-12)
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
        for one in (record.own, record.shared):
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


def shipped(name: str) -> RecordedRun:
    return read(shipped_folder() / name).last


def test_the_collapse_is_one() -> None:
    last = shipped("collapse.jsonl").path[-1].sum
    assert last.first_split == 5
    assert last.survival < 1e-20
    assert last.kl > last.kl_shared, "drift comes on top of what pruning does"


def test_dropped_attention_ends_in_a_loop() -> None:
    path = shipped("dropped-attention.jsonl").path
    written = "".join(record.taken_pruned.text for record in path if record.taken_pruned)
    assert path[-1].sum.first_split == 5
    assert written.count("/clip-shopping clips sold") >= 3


def test_the_mild_one_survives() -> None:
    path = shipped("mild.jsonl").path
    assert path[-1].sum.first_split is None
    assert path[-1].sum.survival > 0.5
    assert [r.taken and r.taken.token_id for r in path] == [r.taken_pruned and r.taken_pruned.token_id for r in path]


def test_their_headers_hold_everything_that_is_needed_to_make_them_again(recording: RecordedRun) -> None:
    header = recording.header
    assert header.dense.spec == "demo"
    assert len(header.dense.fingerprint) == 64
    assert header.prune is not None
    assert len(header.prune.mask_hash) == 64
    assert (header.prune.calibration is not None) == header.title.startswith("wanda")
    assert header.prompt_ids
    assert set(header.versions) >= {"phier", "torch", "transformers", "python"}
    assert header.started
