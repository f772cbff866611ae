"""Blocks dropped from models whose layers are not all alike: saved if the configuration can say so, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.checkpoints.save import save
from probes.prune.apply import apply
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.mixed_layers import loaded, mixed


@pytest.mark.parametrize("architecture", ["llama4_text", "bamba"])
def test_a_configuration_that_names_layers_by_number_names_those_left(architecture: str, tmp_path: Path) -> None:
    """Llama 4's `moe_layers` and Bamba's `attn_layer_indices`; what is saved must answer as the twin does."""
    dense = loaded(mixed(architecture))
    twin = Twin(dense.model)
    report = apply(twin, parse("drop-block@layers=1"), dense)
    saved = save(dense, twin, report, tmp_path / "shorter", Work())
    assert saved.report.dropped == ("block 1",)


def test_a_rule_that_no_longer_fits_is_refused_with_what_works(tmp_path: Path) -> None:
    dense = loaded(mixed("qwen3_moe"))
    twin = Twin(dense.model)
    report = apply(twin, parse("drop-block@layers=1"), dense)
    with pytest.raises(Failure, match=r"Qwen3MoeForCausalLM can't describe the layers that are left.*use --prune"):
        save(dense, twin, report, tmp_path / "shorter", Work())
    assert not (tmp_path / "shorter").exists()
