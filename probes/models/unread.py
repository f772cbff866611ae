"""Reports tensors in a model's files that the model does not use, by their effect on the figures.

transformers leaves out tensors that it can't place, and hides some of their names. If they compute something in the
program that wrote the files, the figures lack it. So all names are collected before any is hidden.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel, core_model_loading

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_NOTE = "phier-unread.json"
"""The file beside a converted model that names the unused tensors of its source."""
_NAMED = 3
"""How many tensors a sentence names, one of each kind."""
_RECOMPUTED = re.compile(
    r"(^|[._])(inv_freq|cos_cached|sin_cached|position_ids|masked_bias|num_batches_tracked|_extra_state"
    r"|embed_positions\.(weights|_float_tensor)|(en|de)coder\.version)$"
)
"""Buffers that the configuration determines, or that only training uses."""
_MASK = re.compile(r"(^|[._])(attn|attention)\.(bias|mask|causal_mask)$")
"""Causal masks that older versions saved with the weights; a learned bias has the same name, but one dimension."""
_SCALE = re.compile(
    r"(^|[._])(weight_scale(_inv|_2)?|(weight|input)_(global_scale|zero_point)|input_scale|activation_scale|scale_weight"
    r"|proj_scale(_inv)?|weight_scales|qscale_(weight|act)|(?<!layer_)q?scales|qzeros|qweight|g_idx"
    r"|weight_(packed|shape|g_idx)|(nested_)?(absmax|quant_map)|SCB)$"
    r"|\.quant_state\."
)
"""Scales of quantised weights, and tensors that are needed to unpack them."""
_SENSES = re.compile(
    r"(^|[._])(vision|visual|image|audio|video|speech|multi_?modal|mm|talker|token2wav|code2wav)([._]|$)"
)
"""Parts for pictures and sound: text does not run through them."""
_AHEAD = re.compile(r"(^|\.)(mtp|nextn)(_\w+)?\.")
"""Multi-token prediction, by name."""
_IN_EXTRA_LAYER = re.compile(r"\.(eh_proj|enorm|hnorm|shared_head)\.")
"""Modules that only an extra layer for multi-token prediction has."""
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|blk)\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The tensors that transformers left out of the files that it read."""

    unused: set[str] = field(default_factory=set)
    """The model's names of the unused tensors."""
    stored: dict[str, str] = field(default_factory=dict)
    """The model's name of each tensor by its name in the files, without tensors that are merged from several."""

    def twice(self) -> list[list[str]]:
        """Groups of names in the files that are one tensor of the model, which takes the first and drops the others."""
        names: dict[str, list[str]] = {}
        for stored, name in self.stored.items():
            names.setdefault(name, []).append(stored)
        return [several for name, several in names.items() if len(several) > 1 and name not in self.unused]


@contextmanager
def collecting_unused() -> Iterator[LeftOut]:
    """Collects the names of all tensors that transformers finds in files and leaves out in its block."""
    left = LeftOut()
    owner: Any = PreTrainedModel
    loading: Any = core_model_loading
    hide, rename = owner._adjust_missing_and_unexpected_keys, loading.rename_source_key

    def adjust(model: PreTrainedModel, loading_info: Any) -> None:
        left.unused.update(loading_info.unexpected_keys)
        hide(model, loading_info)

    def renamed(source: str, *args: Any, **kwargs: Any) -> tuple[str, str | None]:
        name, part = rename(source, *args, **kwargs)
        left.stored.pop(source, None)
        if part is None:  # otherwise the tensor is merged from several
            left.stored[source] = name
        return name, part

    owner._adjust_missing_and_unexpected_keys, loading.rename_source_key = adjust, renamed
    try:
        yield left
    finally:
        owner._adjust_missing_and_unexpected_keys, loading.rename_source_key = hide, rename


def write_unused(folder: Path, names: Iterable[str]) -> None:
    """Writes the names of the unused tensors beside a converted model, for `read_unused`."""
    (folder / _NOTE).write_text(json.dumps(sorted(names)), "utf-8")


def read_unused(folder: Path) -> set[str]:
    """The names that `write_unused` wrote; none for a folder that was not converted here."""
    try:
        found = json.loads((folder / _NOTE).read_text("utf-8"))
    except (OSError, ValueError):
        return set()
    return {str(name) for name in found} if isinstance(found, list) else set()


def notes_on_unused(
    left: LeftOut, model: PreTrainedModel, files: Sequence[Path], name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and warnings about unused tensors, except those that compute nothing.

    Raises `BadInput` if scales of quantised weights are unused and nothing dequantises: all weights would be wrong.
    """
    computing = sorted(key for key in left.unused if not _RECOMPUTED.search(key))
    masks = _masks(computing, files)
    rest = [key for key in computing if key not in masks]
    if (scales := [key for key in rest if _SCALE.search(key)]) and getattr(model, "hf_quantizer", None) is None:
        raise BadInput(
            "Scales without a format",
            f"{name}'s files hold {_listed(scales)}, which belong to quantised weights, but its config.json names no "
            "known quantisation. Without these scales the weights are wrong.",
            "Add the quantization_config of the model, or name a dequantised copy.",
        )
    senses = [key for key in rest if _SENSES.search(key)]
    rest = [key for key in rest if key not in set(senses)]
    ahead = _ahead(rest, model)
    lost = [key for key in rest if key not in set(ahead)]
    notes = []
    if ahead:
        notes.append(
            f"{name}'s files hold {_listed(ahead)}, for predicting tokens beyond the next one; "
            "the model does not use them."
        )
    if senses:
        notes.append(f"{name}'s files hold {_listed(senses)}, for pictures or sound; text does not need them.")
    warnings = []
    if lost:
        warnings.append(
            f"{name}'s files hold {_listed(lost)}, which the model does not use: the figures do not include them."
        )
    if twice := [several for several in (*left.twice(), *_in_several(files)) if _differ(several, files)]:
        one = " and ".join(visible(key, 100) for key in twice[0][:2])
        warnings.append(
            f"{name}'s files hold {len(twice)} of the model's tensors twice with different numbers, such as {one}: "
            "the figures are of one of the two."
        )
    return tuple(notes), tuple(warnings)


def note_on_unread_files(folder: Path, files: Sequence[Path], name: str) -> tuple[str, ...]:
    """A note on files of tensors in the folder that are not read; nothing if there are none."""
    read = {file.name for file in files}
    others = [visible(path.name, 100) for path in sorted(folder.glob("*.safetensors")) if path.name not in read]
    if not others:
        return ()
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return (f"{name}'s folder holds files of tensors that are not read: {', '.join(others[:_NAMED])}{more}.",)


def _listed(keys: Sequence[str]) -> str:
    """ "4 tensors such as model.layers.0.self_attn.o_proj.bias": names one of each kind, up to `_NAMED`."""
    kinds: dict[str, str] = {}
    for key in keys:
        kinds.setdefault(re.sub(r"\d+", "#", key), visible(key, 100))
    names = list(kinds.values())[:_NAMED]
    if len(keys) == 1:
        return f"a tensor {names[0]}"
    return f"{len(keys)} tensors such as {', '.join(names)}"


def _ahead(keys: Sequence[str], model: PreTrainedModel) -> list[str]:
    """The tensors of multi-token prediction: by name, or in layers beyond the last that have modules for it."""
    config = model.config.get_text_config(decoder=True)
    layers = int(getattr(config, "num_hidden_layers", 0))
    layer_of = {key: int(found[1]) for key in keys if (found := _LAYER.search(key))}
    extra = set(range(layers, layers + int(getattr(config, "num_nextn_predict_layers", 0) or 0)))
    extra |= {layer for key, layer in layer_of.items() if layer >= layers and _IN_EXTRA_LAYER.search(key)}
    return [key for key in keys if _AHEAD.search(key) or layer_of.get(key) in extra]


def _in_several(files: Sequence[Path]) -> list[list[str]]:
    """Names that are in more than one file; the tensor of the last file is used."""
    counted: Counter[str] = Counter()
    for file in files if len(files) > 1 else ():
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                counted.update(opened.keys())
    return [[key] for key, count in counted.items() if count > 1]


def _differ(names: Sequence[str], files: Sequence[Path]) -> bool:
    """Do the tensors of these names differ? Tensors in a pickle count as different."""
    found = []
    with ExitStack() as stack:
        for file in files if all(file.suffix == ".safetensors" for file in files) else ():
            opened = stack.enter_context(safe_open(file, framework="pt"))
            found += [opened.get_tensor(name) for name in set(names) & set(opened.keys())]
        return not found or not all(torch.equal(found[0], other) for other in found[1:])


def _masks(keys: Iterable[str], files: Sequence[Path]) -> set[str]:
    """The names of causal masks: squares whose first row is a one, then zeros. In a pickle, the name decides.

    The model's name of a tensor may have a prefix more or less than the name in the file.
    """
    named = {key for key in keys if _MASK.search(key)}
    found = {key for key in named if not any(file.suffix == ".safetensors" for file in files)}
    for file in files if named - found else ():
        try:
            with safe_open(file, framework="pt") as opened:
                for stored in tuple(opened.keys()):
                    same = {key for key in named if stored.endswith(key) or key.endswith(stored)}
                    if same and _is_causal(opened.get_slice(stored)):
                        found |= same
        except (SafetensorError, OSError) as problem:
            raise BadInput("Broken weights", f"{file} is damaged or incomplete.", "Download it again.") from problem
    return found


def _is_causal(stored: Any) -> bool:
    shape = stored.get_shape()
    if len(shape) < 2 or shape[-1] != shape[-2] or any(size != 1 for size in shape[:-2]):
        return False
    row = stored[(*(slice(0, 1) for _ in shape[:-1]), slice(None))].flatten().tolist()
    return bool(row[0] == 1 and not any(row[1:]))
