"""Every method tried on one text: measured as if it were the only one, and what can't be done is listed with why."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.bench.methods import every_setting, survey
from probes.pair import pair_with_twin
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import summarise
from tests.support.prune_models import FEW, loaded

PROMPT = "abcdefgh"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def test_every_method_is_tried_at_both_ratios_and_patterns_where_they_make_sense() -> None:
    settings = [parse(text).parts[0] for text in every_setting()]
    assert {part.method for part in settings} == set(Method) - {Method.DENSE, Method.RESTORE}
    for method in set(Method) - {Method.DENSE, Method.RESTORE}:
        amounts = {str(part.amount) for part in settings if part.method is method}
        assert {"0.3", "0.5"} <= amounts
        assert ("2:4" in amounts) == (method.unstructured and method is not Method.MAGNITUDE_GLOBAL)


def test_each_is_measured_as_if_it_were_alone() -> None:
    dense = loaded("llama")
    settings = ["wanda:0.5", "drop-attn@layers=1", "wanda:0.5", "magnitude:2:4"]
    found = survey(dense, PROMPT, settings, steps=5, calibration=FEW)
    assert [one.setting for one in found] == settings
    assert found[0].summary == found[2].summary
    for setting, one in zip(settings, found, strict=True):
        pair = pair_with_twin(dense, parse(setting), FEW)
        with pair.lockstep(RunSettings(PROMPT, follow=Follow.DENSE, steps=5)) as lockstep:
            assert summarise(list(lockstep)) == one.summary


def test_the_share_that_is_gone_counts_zeros_and_what_is_dropped() -> None:
    dense = loaded("llama")
    names = ("attn", "mlp")
    sizes = dict.fromkeys(names, 0)
    for name, parameter in dense.model.named_parameters():
        for kind in names:
            if f".1.{'self_attn' if kind == 'attn' else kind}." in name:
                sizes[kind] += parameter.numel()
    layer = sum(sizes.values())
    found = survey(dense, PROMPT, ["drop-attn@layers=1", "magnitude:0.5@layers=1"], steps=2, calibration=FEW)
    assert found[0].gone == pytest.approx(sizes["attn"] / (3 * layer))
    assert found[1].gone == pytest.approx(0.5 / 3)


def test_what_an_architecture_does_not_allow_is_listed_with_the_reason() -> None:
    found = survey(loaded("llama"), PROMPT, ["magnitude:5:7", "magnitude:0.5"], steps=2, calibration=FEW)
    assert found[0].summary is None
    assert "groups of 7" in found[0].problem
    assert found[1].summary is not None


def test_a_setting_that_can_not_be_read_is_refused_before_anything_is_done() -> None:
    with pytest.raises(BadInput, match="not a method"):
        survey(loaded("llama"), PROMPT, ["magnitude:0.5", "wnda:0.5"], steps=2, calibration=FEW)
