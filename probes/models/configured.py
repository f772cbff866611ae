"""A model's config.json: read once, and checked before anything is built from it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto import AutoModelForCausalLM

from probes.models.error_boundary import error_boundary
from probes.models.kinds import check_causal
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_COUNTED = re.compile(
    r"(n|num)_\w*(layers?|blocks?|heads?|experts?)|(decoder|encoder)_(layers|attention_heads)|depth"
    r"|\w*(hidden|intermediate|vocab|embedding)_size|(head|hidden|ffn|embed)_dim|n_embd|n_inner|d_model|d_ff",
    re.ASCII,
)
"""Keys of sizes and counts: none can be larger than what the files hold, or smaller than 0."""
_REPEATED = re.compile(r"\w*(layers?|blocks?|experts?|depth)")
"""Those of modules that are built one by one, each with tensors of its own."""
_FEW = 1024
"""Modules that are built in no time, whatever the files hold."""
_SMALL = 10_000_000
"""Parameters that fit into any memory, whatever the files hold."""


def read_configuration(
    folder: Path, found: Mapping[str, object], name: str, *, tensors: int, size: int, remote_code: bool
) -> PreTrainedConfig:
    """The configuration of a causal language model.

    `found` is what the file says; the weights are `tensors` tensors in `size` bytes. Raises `BadInput` if a number
    can't be that of these weights, if transformers can't use the file, and if it is that of another kind of model.
    """
    file = visible(str(folder / "config.json"))
    _check_numbers(found, file, tensors, size)
    with error_boundary(
        "Wrong configuration", f"{file} can't be used", f"{doubtful(found)}Correct the file, or fetch it again."
    ):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, trust_remote_code=remote_code, local_files_only=True
        )
    check_causal(config, found, folder, name)
    with error_boundary(
        "Model not loaded", f"{name} can't be built from {file}", f"{doubtful(found)}Name another model."
    ):
        _check_whole(config, file, size, remote_code)
    return config


def doubtful(found: Mapping[str, object]) -> str:
    """A sentence that names the sizes and counts below 1, for errors that name none; "" if there are none."""
    small = [f"{key}: {value}" for key, value in _counts(found) if value < 1]
    return f"It says {', '.join(small[:3])}. " if small else ""


def _check_numbers(found: Mapping[str, object], file: str, tensors: int, size: int) -> None:
    """Raises `BadInput` for a number that would keep transformers building for hours what the files can't fill."""
    for key, value in _counts(found):
        most, held = (max(tensors, _FEW), f"{tensors:,} tensors") if _REPEATED.fullmatch(key) else (8 * size, "")
        if value > most:
            raise BadInput(
                "Wrong configuration",
                f"{file} says {key}: {visible(str(value), 40)}, and the weights are {held or f'{size:,} bytes'}.",
                "Correct the file, or fetch it again.",
            )


def _check_whole(config: PreTrainedConfig, file: str, size: int, remote_code: bool) -> None:
    """Raises `BadInput` for a model that the files can't fill, which transformers would fill by chance instead.

    Each number of it may be plausible, or not be in the file at all: defaults are those of large models.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            copy.deepcopy(config), dtype=torch.float32, trust_remote_code=remote_code
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > max(_SMALL, 8 * size):
        raise BadInput(
            "Wrong configuration",
            f"{file} describes a model of {parameters:,} parameters, and the weights are {size:,} bytes.",
            "Correct the file, or fetch it again.",
        )


def _counts(found: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    """Sizes and counts, also those of the configurations inside this one."""
    left = [found]
    while left:
        for key, value in left.pop().items():
            if isinstance(value, Mapping):
                left.append(value)
            elif isinstance(value, int) and not isinstance(value, bool) and _COUNTED.fullmatch(key):
                yield key, value
