"""Saves a tiny model in a former sparse format, packed weight by weight from the format's description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support.prune_models import TOKENIZER
from tests.support.tiny import save, tiny

SIZE = len(TOKENIZER)


def packed(matrix: Tensor, two_of_four: bool = False) -> dict[str, Tensor]:
    """One weight after another: its bit, lowest first, in its row's bytes, and its value behind those before it."""
    rows, columns = matrix.shape
    bits = [[0] * -(-columns // 8) for _ in range(rows)]
    values: list[float] = []
    offsets: list[int] = []
    for row in range(rows):
        offsets.append(len(values))
        for column in range(columns):
            kept = bool(matrix[row, column] != 0)
            if two_of_four:
                first = column - column % 4
                group = [abs(float(matrix[row, first + place])) for place in range(4)]
                order = sorted(range(4), key=lambda place: -group[place])
                kept = column - first in order[:2]
            if kept:
                bits[row][column // 8] |= 1 << (column % 8)
                values.append(float(matrix[row, column]))
    parts = {
        "bitmask": torch.tensor(bits, dtype=torch.uint8),
        "compressed": torch.tensor(values, dtype=torch.float64).to(matrix.dtype),
        "shape": torch.tensor([rows, columns]),
    }
    if two_of_four:
        return parts | {"compressed": parts["compressed"].view(rows, columns // 2)}
    return parts | {"row_offsets": torch.tensor(offsets)}


def made(folder: Path, kind: str, config: dict[str, Any], name: str = "{base}.{part}", files: int = 1) -> Path:
    """A 2:4 sparse model in a former format; `name` is how its tensors are called."""
    model = tiny("llama", vocab_size=SIZE)
    held = {key: value.clone() for key, value in model.state_dict().items() if key != "lm_head.weight"}
    save(folder, model, TOKENIZER)
    tensors = {}
    for key, value in held.items():
        if "_proj" in key:
            value.view(-1, 4)[:, ::2] = 0
            for part, tensor in packed(value, kind == "sparse-24-bitmask").items():
                tensors[name.format(base=key.removesuffix(".weight"), part=part)] = tensor
        else:
            tensors[key] = value
    model.load_state_dict(held, strict=False)
    torch.save(model.state_dict(), folder.with_suffix(".expected"))
    (folder / "model.safetensors").unlink()
    if files == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        where = {}
        for number in range(files):
            file = f"model-{number + 1:05}-of-{files:05}.safetensors"
            layer = {
                key: value for key, value in tensors.items() if (f"layers.{number + 1}." in key) == (number + 1 < files)
            }
            layer = {key: value for key, value in layer.items() if key not in where}
            save_file(layer, folder / file, metadata={"format": "pt"})
            where |= dict.fromkeys(layer, file)
        assert where.keys() == tensors.keys()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    file_ = folder / "config.json"
    file_.write_text(json.dumps({**json.loads(file_.read_text()), **config}))
    return folder


def sparse(kind: str) -> dict[str, Any]:
    return {"sparsity_config": {"format": kind, "global_sparsity": 50.0, "sparsity_structure": "2:4"}}


def expected(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(folder.with_suffix(".expected"))
    return found
