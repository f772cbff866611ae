"""`python -m probes.loading.convert SOURCE.gguf FOLDER DTYPE`: writes a GGUF file as a safetensors folder."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel
from transformers.models.auto import AutoModelForCausalLM

from probes.loading.child import UNWRITTEN


class Unwritten(Exception):
    """The disk did not take the copy."""


def convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Writes weights, configuration, tokenizer and chat template of `source` into `folder`.

    Raises `Unwritten` if the disk does not take them.
    """
    asked_by = os.getppid()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _leave_quantizer(model)
    if os.getppid() != asked_by:
        raise SystemExit("whoever asked for it has gone.")
    needed = model.get_memory_footprint()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise Unwritten(f"the copy needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free")
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except (OSError, SafetensorError) as problem:
        raise Unwritten(str(problem)) from problem


def _leave_quantizer(model: PreTrainedModel) -> None:
    """The weights are plain by now; what marks them as quantised would refuse to save them."""
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
            print(_problem, flush=True)  # noqa: T201 - the last words, which the other program passes on
        os._exit(UNWRITTEN)  # on a full disk what is still unsaid can't be flushed either
