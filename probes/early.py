"""Finds mistakes in the options before any slow work. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from probes.calibration.texts import check_source
from probes.models.placing import check_placing
from probes.models.spec_check import check_spec, nearby
from probes.prune.fitted_text import read_fitted
from probes.schema.errors import BadInput
from probes.schema.prune_setting import FittedShare, Setting, Table
from probes.schema.setting_layers import check_layers
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded

_DEMO_LAYERS = 30


def check_early(spec: PairSpec) -> None:
    """Raises `BadInput` for a model, device, dtype, table or calibration text that does not exist, and for layers that
    the dense model lacks, as far as that can be known without loading it."""
    check_placing(spec.load)
    folder = check_spec(spec.dense)
    if spec.pruned:
        check_spec(spec.pruned)
    if spec.calibration.source not in ("", "self"):
        check_source(spec.calibration.source)
    if spec.prune:
        _check_files(spec.prune)
        count = _DEMO_LAYERS if spec.dense == "demo" else _layers(folder) if folder is not None else None
        if count is not None:
            check_layers(spec.prune, count, spec.dense)


def _check_files(setting: Setting) -> None:
    for part in setting.parts:
        if isinstance(part.amount, FittedShare):
            read_fitted(part.amount.path)
        if isinstance(part.amount, Table) and not os.path.isfile(path := expanded(part.amount.path)):
            reason = "it is a folder" if os.path.isdir(path) else "there is no such file"
            raise BadInput(
                "Table",
                f"{part.amount.path} can't be read: {reason}.",
                f"{nearby(path)}Each line has a name or a layer, and its amount: up_proj 0.6",
            )


def _layers(folder: Path) -> int | None:
    """The number of layers in the folder's configuration; None if it is unclear. Loading then reports the mistake."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    for found in (config, config.get("text_config")) if isinstance(config, Mapping) else ():
        for name in ("num_hidden_layers", "n_layer", "num_layers"):
            count = found.get(name) if isinstance(found, Mapping) else None
            if isinstance(count, int) and not isinstance(count, bool) and count > 0:
                return count
    return None
