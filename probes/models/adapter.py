"""Finds adapters (such as LoRA) in a model's folder. They are reported, never applied. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_CONFIG = "adapter_config.json"


@contextmanager
def without_adapters() -> Iterator[None]:
    """Hides adapters from transformers in its block: with peft installed, it would apply one that is beside the
    weights."""
    from transformers.integrations import peft as integration
    from transformers.models.auto import auto_factory

    looking: tuple[Any, ...] = (auto_factory, integration)
    before = [(module, module.find_adapter_config_file) for module in looking]
    try:
        for module, _ in before:
            module.find_adapter_config_file = lambda *_args, **_kwargs: None
        yield
    finally:
        for module, find in before:
            module.find_adapter_config_file = find


def refuse_adapter_alone(folder: Path, name: str) -> None:
    """Raises `BadInput` if the folder holds an adapter and no weights that it belongs on."""
    weights = [path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern)]
    if (folder / _CONFIG).exists() and not any(is_weights(path) for path in weights):
        raise BadInput(
            "Adapter without a model",
            f"{name} is an adapter of {_base(folder)} and has no weights of its own.",
            "Merge it into that model first (merge_and_unload in peft), save the result, and name that folder.",
        )


def adapter_warnings(folder: Path, name: str) -> tuple[str, ...]:
    """A warning about an adapter beside whole weights; nothing if there is none."""
    if not (folder / _CONFIG).exists():
        return ()
    return (
        f"{name}'s folder also holds an adapter of {_base(folder)} ({_CONFIG}). It is not applied: "
        "the figures are those of the weights alone.",
    )


def is_weights(path: Path) -> bool:
    """Does its name say that the file holds a model's weights, not an adapter's or a trainer's state?"""
    return not path.name.startswith(("adapter_model", "training_args", "optimizer", "scheduler", "rng_state"))


def _base(folder: Path) -> str:
    """The model that the adapter was made for, as its configuration names it."""
    try:
        found = json.loads((folder / _CONFIG).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    named = found.get("base_model_name_or_path") if isinstance(found, dict) else None
    return visible(str(named), 100) if named else "another model"
