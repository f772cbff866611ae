"""`python -m probes.models.gguf_convert SOURCE.gguf FOLDER DTYPE`: writes a GGUF file as a safetensors folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from gguf import GGUFReader, ReaderTensor
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel
from transformers import modeling_gguf_pytorch_utils as mapping
from transformers.models.auto import AutoModelForCausalLM

from probes.models import unread
from probes.system.subprocesses import UNWRITTEN

_EXPERTS = re.compile(r"_(exps|projs)\b")


class Unwritten(Exception):
    """The copy could not be written."""


def convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Writes weights, configuration, tokenizer and chat template of `source` into `folder`.

    Raises `Unwritten` if they can't be written.
    """
    parent = os.getppid()
    model, left = _read(source, dtype)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _leave_quantizer(model)
    if os.getppid() != parent:
        raise SystemExit("the parent process has exited.")
    needed = model.get_memory_footprint()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Unwritten(f"the copy needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free")
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        unread.write_unused(folder, left)
    except (OSError, SafetensorError) as problem:
        raise Unwritten(str(problem)) from problem


def _read(source: Path, dtype: torch.dtype) -> tuple[PreTrainedModel, set[str]]:
    """The file's model, and the names of its tensors that the model has no use for.

    Exits if the file lacks tensors of the model: they would be random.
    """
    names: dict[str, str] = {}
    find = mapping.get_gguf_hf_weights_map

    def found(*args: Any, **kwargs: Any) -> dict[str, str]:
        names.update(answer := find(*args, **kwargs))
        return cast("dict[str, str]", answer)

    mapping.get_gguf_hf_weights_map = found
    with unread.collecting_unused() as collected:
        read: Any = AutoModelForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=dtype, output_loading_info=True
        )
    model, report = read
    left = collected.unused
    if missing := sorted(report["missing_keys"]):
        raise SystemExit(f"{len(missing)} of the model's tensors are missing, for example {missing[0]}.")
    if names:  # otherwise `unread.collecting_unused` has seen all tensors
        left |= {tensor.name for tensor in GGUFReader(source).tensors if not _is_used(tensor, names)}
    return model, left


def _is_used(tensor: ReaderTensor, names: Collection[str]) -> bool:
    """Does the model use the tensor, or does it change nothing? Stacked experts and heads have other names in the
    model."""
    name = str(tensor.name)
    if name in names or name.removesuffix(".weight") in names or name == "output.weight" or _EXPERTS.search(name):
        return True
    return name.startswith("rope_") and bool((tensor.data == 1).all())


def _leave_quantizer(model: PreTrainedModel) -> None:
    """Removes the marks of a quantised model: the weights are plain, and with the marks they can't be saved."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]), getattr(torch, sys.argv[3]))
    except Unwritten as _problem:
        with suppress(OSError):
            print(_problem, flush=True)  # noqa: T201 - the parent process shows it
        os._exit(UNWRITTEN)  # on a full disk, a normal exit fails to flush its output
