"""A record goes into JSON and comes back the same, with what is not finite named and not lost."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import msgspec
import pytest
from msgspec import structs

from probes.schema.flat_step import from_jsonable, to_jsonable
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.stepping.lockstep import Lockstep
from tests.support.records import with_own
from tests.support.stepping import Words, damaged
from tests.support.tiny import tiny


@pytest.fixture(scope="module")
def record() -> StepRecord:
    model = tiny("llama")
    settings = RunSettings("p", follow=Follow.FREE, steps=14, sampling=Sampling(temperature=1.5))
    with Lockstep(model, damaged(model, 0.5), Words(), [5, 17, 99], settings) as both:
        *_, last = both
    assert not last.same_context
    assert last.shared is not None
    return last


def through_json(record: StepRecord) -> StepRecord:
    return from_jsonable(json.loads(json.dumps(to_jsonable(record), allow_nan=False)))


def test_a_record_survives_json(record: StepRecord) -> None:
    assert through_json(record) == record


def test_the_spellings_are_the_documented_ones(record: StepRecord) -> None:
    plain = to_jsonable(record)
    assert {"step", "dense", "pruned", "same_context", "agree", "h", "z", "p", "shared", "sum", "top"} <= set(plain)
    assert {"token_id", "token", "p", "q"} == set(plain["dense"])
    assert {"kl", "log_ratio", "survival", "agree_rate", "first_split"} <= set(plain["sum"])
    assert {"token_id", "token", "p", "q", "z_dense", "z_pruned", "kl_share"} <= set(plain["top"][0])
    assert set(plain["h"]) == {"cos", "angle", "length_ratio", "parallel", "orthogonal", "cos_estimate"}


def test_what_is_not_finite_is_null_and_named(record: StepRecord) -> None:
    odd = with_own(
        record,
        p=replace(record.own.p, kl=math.inf, js=math.nan),
        top=(structs.replace(record.own.top[0], z_pruned=-math.inf), *record.own.top[1:]),
    )
    plain = to_jsonable(odd)
    assert plain["nonfinite"] == {"p.kl": "inf", "p.js": "nan", "top.0.z_pruned": "-inf"}
    assert plain["p"]["kl"] is None
    back = through_json(odd)
    assert back.own.p.kl == math.inf
    assert math.isnan(back.own.p.js)
    assert back.own.top[0].z_pruned == -math.inf


@pytest.mark.parametrize("named", [{"p.nothing.kl": "inf"}, {"p.kl": "much"}, ["p.kl"], {"top.99.q": "inf"}])
def test_a_damaged_nonfinite_object_is_an_error_and_nothing_else(record: StepRecord, named: object) -> None:
    plain = json.loads(json.dumps(to_jsonable(record)))
    plain["nonfinite"] = named
    with pytest.raises(msgspec.ValidationError):
        from_jsonable(plain)


def test_a_step_is_small(record: StepRecord) -> None:
    assert len(record.own.top) > 10
    assert len(msgspec.json.encode(to_jsonable(record))) < 10_000
