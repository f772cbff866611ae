"""Figures of many positions against plain passes, closed forms and stepping."""

from __future__ import annotations

import copy
import math
from dataclasses import fields

import numpy as np
import pytest
import torch

from probes.schema.settings import Follow, RunSettings
from probes.stepping import largest
from probes.stepping.lockstep import Lockstep
from probes.tasks import position_sums
from probes.tasks.many_positions import ManyPositions
from probes.tasks.position_sums import PositionFigures, PositionSums
from probes.tasks.scored_windows import SecondModel, score_windows
from probes.tasks.token_windows import TokenWindow
from tests.support.explaining import plain
from tests.support.formulas import reference
from tests.support.stepping import Words, damaged
from tests.support.tiny import ARCHITECTURES, VOCABULARY, moved, tiny

IDS = tuple(int(i) for i in torch.randint(1, VOCABULARY, (40,), generator=torch.Generator().manual_seed(3)))
WINDOWS = [TokenWindow(IDS[:24], 1), TokenWindow(IDS[8:32], 16), TokenWindow(IDS[20:], 8)]


def scored(dense, pruned, windows=WINDOWS, **options) -> PositionFigures:
    second = SecondModel("second", ManyPositions(pruned))
    found = list(score_windows(ManyPositions(dense), [second], windows, VOCABULARY, **options))
    return PositionFigures.joined([chunk.figures[0] for chunk in found])


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "granite", "cohere", "mamba", "falcon", "bloom"])
def test_many_positions_give_what_stepping_through_the_window_gives(architecture: str) -> None:
    dense = moved(tiny(architecture), torch.float64)
    pruned = damaged(dense, 0.4)
    window = TokenWindow(IDS[:20], 3)
    found = scored(dense, pruned, [window, TokenWindow(IDS[5:15], 1)])
    settings = RunSettings("", follow=Follow.TEXT, text="text")
    run = Lockstep(dense, pruned, Words(), IDS[:3], settings, text_ids=IDS[3:20])
    steps = list(run)
    assert len(steps) == window.scored == 17
    wanted = {
        "kl": [step.own.p.kl for step in steps],
        "kl_reverse": [step.own.p.kl_reverse for step in steps],
        "h": [1 - step.own.h.cos for step in steps],
        "z": [1 - step.own.z.cos_centred for step in steps],
        "p": [1 - step.own.p.cos for step in steps],
        "h_estimate": [step.own.h.cos_estimate for step in steps],
        "p_estimate": [step.own.p.cos_estimate for step in steps],
        "kl_estimate": [step.own.p.kl_estimate for step in steps],
        "rank": [step.own.p.rank_dense_in_pruned for step in steps],
        "same_top": [1.0 if step.agree else 0.0 for step in steps],
        "log_p": [math.log(step.taken.p) for step in steps],
        "log_q": [math.log(step.taken.q) for step in steps],
        "top_p": [step.dense.p for step in steps],
    }
    assert max(wanted["kl"]) > 1e-3
    for name, values in wanted.items():
        np.testing.assert_allclose(getattr(found, name)[:17], values, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "cohere"])
def test_in_float32_they_give_what_a_pass_over_each_window_alone_gives(architecture: str) -> None:
    dense = tiny(architecture)
    pruned = damaged(dense, 0.4)
    found = scored(dense, pruned)
    rows = []
    for window in WINDOWS:
        z, z2 = (plain(model, list(window.ids))[window.first - 1 : -1] for model in (dense, pruned))
        h = torch.ones(len(z), 4)
        rows += [reference(*each) for each in zip(h, h, z, z2, strict=True)]
    assert len(rows) == len(found) == 23 + 8 + 12
    for name, key in (("kl", "p.kl"), ("kl_reverse", "p.kl_reverse"), ("kl_estimate", "p.kl_estimate")):
        np.testing.assert_allclose(getattr(found, name), [row[key] for row in rows], rtol=1e-3, atol=1e-6)


def test_an_exact_copy_gives_exactly_nothing() -> None:
    dense = tiny("gemma2")
    found = scored(dense, copy.deepcopy(dense))
    for name in ("kl", "kl_reverse", "h", "z", "p", "h_estimate", "p_estimate", "kl_estimate"):
        assert (getattr(found, name) == 0).all(), name
    assert (found.log_p == found.log_q).all()
    assert (found.same_top == 1).all()
    assert (found.rank == 1).all()


@pytest.mark.parametrize(("rows", "columns"), [(1, 12_288), (3, 16), (16, 7)])
def test_the_sums_agree_with_the_formulas_written_out(rows: int, columns: int, monkeypatch) -> None:
    monkeypatch.setattr(position_sums, "COLUMNS", columns)
    monkeypatch.setattr(largest, "_BLOCK", columns // 2)
    generator = torch.Generator().manual_seed(0)
    h, h2 = (torch.randn(7, 9, generator=generator) for _ in range(2))
    z = torch.randn(7, 50, generator=generator) * torch.tensor([0.01, 1, 5, 30, 1, 1, 1])[:, None]
    z2 = z + torch.randn(7, 50, generator=generator) * torch.tensor([1e-4, 1e-3, 1, 10, 0, 50, 1e-6])[:, None]
    z2[4] = z[4] + 64  # a constant in all logits changes no probability
    z[6, :3] = z[6].max() + 1
    targets = torch.arange(7)
    (found,) = PositionSums(50, rows).compare(h, z, [(h2, z2)], targets)
    for row in range(7):
        wanted = reference(h[row], h2[row], z[row], z2[row])
        for name, value in {
            "kl": wanted["p.kl"],
            "kl_reverse": wanted["p.kl_reverse"],
            "h": 1 - wanted["h.cos"],
            "z": 1 - wanted["z.cos_centred"],
            "p": 1 - wanted["p.cos"],
            "h_estimate": wanted["h.cos_estimate"],
            "p_estimate": wanted["p.cos_estimate"],
            "kl_estimate": wanted["p.kl_estimate"],
            "log_p": float(torch.log_softmax(z[row].double(), 0)[row]),
            "log_q": float(torch.log_softmax(z2[row].double(), 0)[row]),
            "top_p": float(torch.softmax(z[row].double(), 0).max()),
            "rank": 1 + int((z2[row].argsort(descending=True, stable=True) == z[row].argmax()).nonzero()),
            "same_top": float(z[row].argmax() == z2[row].argmax()),
        }.items():
            assert getattr(found, name)[row] == pytest.approx(value, rel=1e-9, abs=1e-12), (row, name)


@pytest.mark.parametrize("side", ["dense", "pruned"])
def test_positions_that_are_not_finite_are_set_apart(side: str) -> None:
    z, z2 = torch.randn(5, 20), torch.randn(5, 20)
    (z if side == "dense" else z2)[2, 7] = math.nan
    (z if side == "dense" else z2)[3, 7] = -math.inf
    (found,) = PositionSums(20).compare(torch.ones(5, 4), z, [(torch.ones(5, 4), z2)], torch.zeros(5, dtype=torch.long))
    bad = found.finite_dense if side == "dense" else found.finite_pruned
    assert bad.tolist() == [1, 1, 0, 0, 1]
    for name in (field.name for field in fields(found) if not field.name.startswith("finite")):
        assert np.isfinite(getattr(found, name)).tolist() == [True, True, False, False, True], name


def test_passes_of_any_size_give_the_same_figures() -> None:
    dense = moved(tiny("mistral-sliding"), torch.float64)
    pruned = damaged(dense)
    one, other = scored(dense, pruned, at_once=1), scored(dense, pruned, at_once=4096)
    np.testing.assert_allclose(one.kl, other.kl, rtol=1e-9, atol=1e-13)


def test_a_logit_slice_is_the_models_own_output() -> None:
    for architecture in ("gemma2", "cohere", "granite", "llama"):
        model = tiny(architecture)
        reader = ManyPositions(model)
        states = reader.hidden([IDS[:9]])[0]
        for room in (None, reader.room(12)):
            assert torch.equal(reader.logits(states, room), plain(model, list(IDS[:9]))), architecture
        assert (room is None) == (architecture != "llama")
