"""Refuses a prune setting that names layers which the model does not have."""

from __future__ import annotations

from probes.schema.errors import BadInput
from probes.schema.prune_setting import Setting, ranges


def check_layers(setting: Setting, count: int, model: str) -> None:
    """Raises `BadInput` if a part names a layer beyond the last of the model's `count`."""
    for part in setting.parts:
        beyond = [layer for layer in part.targets.layers or () if layer >= count]
        if beyond:
            raise BadInput(
                "No such layer",
                f"{part} names layer {ranges(beyond)}, and {model} has {count} layers.",
                f"Layers count from 0 to {count - 1}.",
            )
