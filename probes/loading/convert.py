"""`python -m probes.loading.convert SOURCE.gguf FOLDER DTYPE`: writes a GGUF file as a safetensors folder."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel
from transformers.models.auto import AutoModelForCausalLM


def convert(source: Path, folder: Path, dtype: torch.dtype) -> None:
    """Writes weights, configuration, tokenizer and chat template of `source` into `folder`."""
    asked_by = os.getppid()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    _leave_quantizer(model)
    if os.getppid() != asked_by:
        raise SystemExit("whoever asked for it has gone.")
    needed = model.get_memory_footprint()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SystemExit(f"its copy needs {needed / 1e9:.1f} GB in {folder.parent} and {free / 1e9:.1f} GB are free.")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _leave_quantizer(model: PreTrainedModel) -> None:
    """The weights are plain by now; what marks them as quantised would refuse to save them."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), getattr(torch, sys.argv[3]))
