"""Reads a model's config.json, and checks it before anything is built from it."""

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
from probes.models.unused_torch import without_compiler
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_COUNTED = re.compile(
    r"(n|num)_\w*(layers?|blocks?|heads?|experts?)|(decoder|encoder)_(layers|attention_heads)|depth"
    r"|\w*(hidden|intermediate|vocab|embedding)_size|(head|hidden|ffn|embed)_dim|n_embd|n_inner|d_model|d_ff",
    re.ASCII,
)
"""Keys of sizes and counts. The files limit how large each can be; none can be below 0."""
_REPEATED = re.compile(r"\w*(layers?|blocks?|experts?|depth)")
"""Keys that count modules which are built one by one, each with its own tensors."""
_FEW = 1024
"""Counts up to this are not checked against the files, because so few modules are built fast."""
_SMALL = 10_000_000
"""Models of up to so many parameters are not checked against the files, because they fit into any memory."""


def read_configuration(
    folder: Path, found: Mapping[str, object], name: str, *, tensors: int, size: int, remote_code: bool
) -> PreTrainedConfig:
    """The configuration of a causal language model.

    `found` is the file's content; the weights are `tensors` tensors in `size` bytes. Raises `BadInput` if a number does
    not fit these weights, if transformers can't use the file, or if the model is of another kind.
    """
    file = visible(str(folder / "config.json"))
    _check_numbers(found, file, tensors, size)
    with error_boundary(
        "Wrong configuration", f"{file} can't be used", f"{doubtful(found)}Correct the file, or download it again."
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
    """A sentence that names the sizes and counts below 1, for errors that name no key; "" if there are none."""
    small = [f"{key}: {value}" for key, value in _counts(found) if value < 1]
    return f"It says {', '.join(small[:3])}. " if small else ""


def _check_numbers(found: Mapping[str, object], file: str, tensors: int, size: int) -> None:
    """Raises `BadInput` for a number that the files can't fill: transformers could build modules for hours."""
    for key, value in _counts(found):
        most, held = (max(tensors, _FEW), f"{tensors:,} tensors") if _REPEATED.fullmatch(key) else (8 * size, "")
        if value > most:
            raise BadInput(
                "Wrong configuration",
                f"{file} says {key}: {visible(str(value), 40)}, but the weights are {held or f'{size:,} bytes'}.",
                "Correct the file, or download it again.",
            )


def _check_whole(config: PreTrainedConfig, file: str, size: int, remote_code: bool) -> None:
    """Raises `BadInput` for a model that the files can't fill: transformers would fill it with random numbers.

    Each number alone may be plausible, or be missing from the file: the defaults are those of large models.
    """
    with torch.device("meta"), without_compiler():
        model = AutoModelForCausalLM.from_config(
            copy.deepcopy(config), dtype=torch.float32, trust_remote_code=remote_code
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if parameters > max(_SMALL, 8 * size):
        raise BadInput(
            "Wrong configuration",
            f"{file} describes a model of {parameters:,} parameters, but the weights are {size:,} bytes.",
            "Correct the file, or download it again.",
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
