"""Loads causal language models.

A model is named by "demo", a hub id ("owner/name", "owner/name@revision"), a folder, or a .gguf file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from probes.models import adapter, placing, unread
from probes.models.aligned import align
from probes.models.bitmask import unpacked_folder
from probes.models.error_boundary import error_boundary
from probes.models.fingerprint import fingerprint
from probes.models.locate import locate, read_config, weight_files
from probes.models.placing import check_placing
from probes.models.prompting import chat_end_ids
from probes.models.quiet_libraries import marked_output
from probes.models.read import named_drops, read_model, read_settings, read_tokenizer
from probes.models.shardable import check_shardable
from probes.models.tokens import TextStream, TokenDecoder
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.header import ModelInfo
from probes.schema.settings import RunSettings
from probes.schema.spec import LOAD_DEFAULTS, LoadOptions
from probes.system.cache_folder import Unkept, recall, remember, signature_of
from probes.system.progress import UNWATCHED, Work
from probes.system.ranks import ranks

__all__ = [
    "TORCH_DTYPES",
    "Loaded",
    "TextStream",
    "TokenDecoder",
    "end_ids",
    "fingerprint",
    "has_device",
    "load",
    "named_drops",
    "with_fingerprint",
]

TORCH_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in placing.DTYPES}
"""The dtypes that --dtype takes besides "auto"."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model and its tokenizer, in evaluation mode and without gradients."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    info: ModelInfo
    files: tuple[Path, ...] = ()
    """The files of the weights."""
    absent: tuple[str, ...] = ()
    """Tensors that are in no file. All are in layers of which a sublayer is named as dropped."""
    notes: tuple[str, ...] = ()
    """Sentences about how it was loaded."""
    warnings: tuple[str, ...] = ()
    """Sentences that must be shown, for example about tensors that the model does not use."""


@marked_output()
def load(
    spec: str,
    options: LoadOptions = LOAD_DEFAULTS,
    work: Work = UNWATCHED,
    *,
    name: str = "",
    tokenizer: PreTrainedTokenizerBase | None = None,
    drops_obeyed: bool = False,
    thorough: bool = False,
    sharded: bool = False,
) -> Loaded:
    """Loads the causal LM that `spec` names, with its tokenizer.

    `name` is the model's short name in titles; "" takes one from `spec`. `tokenizer` is used if the model has none of
    its own. A configuration that names dropped sublayers is refused, because this function drops nothing, unless
    `drops_obeyed` says that the caller drops them (`named_drops`). `thorough` hashes the program's own copies instead
    of trusting their sizes and times. `sharded` loads this process's part of a model that several compute together; all
    of them must load it. `info.fingerprint` is "" unless it is known from an earlier start; see
    `with_fingerprint`.

    Raises `BadInput` if the model can't be used, `Failure` if it could not be downloaded or does not fit into memory,
    and `Cancelled`.
    """
    check_placing(options)
    work = work.apart()
    device = _device(options)
    dtype = _dtype(options.dtype, device)
    with error_boundary(
        "Model not found", f"{visible(spec, 300)} can't be opened", "Name another folder, file or hub id."
    ):
        place = locate(
            spec,
            options,
            work,
            gguf_dtype="float32" if dtype is None else str(dtype).removeprefix("torch."),
            thorough=thorough,
        )
        adapter.refuse_adapter_alone(place.folder, place.name)
        folder = unpacked_folder(place.folder, place.name, work)
        place = replace(place, name=name or place.name)
        files = weight_files(folder)
    config = read_settings(folder, files, place.name, options, drops_obeyed=drops_obeyed)
    if ranks() > 1:
        check_shardable(config, read_config(folder), place.name)
    own = read_tokenizer(place.folder, config, options) or tokenizer
    if own is None:
        raise BadInput(
            "No tokenizer",
            f"{place.name} has no tokenizer in {visible(str(place.folder))} that turns text into tokens.",
            "Add its tokenizer.json, or name it as the second model of one that has the tokenizer.",
        )
    read = read_model(
        folder,
        config,
        files,
        place.name,
        options,
        work,
        device=device,
        dtype=dtype,
        drops_obeyed=drops_obeyed,
        sharded=sharded,
    )
    model = read.model
    align(model)
    known = recall("fingerprint", signature_of(files, str(model.dtype)))
    info = _info(model, place.name, spec, place.revision, known)
    warnings = (*read.warnings, *adapter.adapter_warnings(place.folder, place.name))
    notes = (*read.notes, *unread.note_on_unread_files(folder, files, place.name), *work.notes)
    return Loaded(model, own, info, files, read.absent, notes, warnings)


def has_device(name: str) -> bool:
    """Does this machine have the device?"""
    try:
        _device(LoadOptions(device=name))
    except BadInput:
        return False
    return True


def with_fingerprint(loaded: Loaded) -> Loaded:
    """The same model with its `info.fingerprint`, which is cached for later starts until the files change.

    The model must still be as it was loaded.
    """
    if loaded.info.fingerprint:
        return loaded
    taken = fingerprint(loaded.model)
    notes = loaded.notes
    if taken and loaded.files:
        try:
            remember("fingerprint", signature_of(loaded.files, str(loaded.model.dtype)), taken)
        except Unkept as problem:
            notes = (*notes, problem.message)
    return replace(loaded, info=replace(loaded.info, fingerprint=taken), notes=notes)


def end_ids(loaded: Loaded, settings: RunSettings) -> frozenset[int]:
    """Every token that ends this model's text, from its configurations, its tokenizer and the chat template in use.

    A configuration may name a default end token that the tokenizer uses as an ordinary token; that id is left out.
    """
    tokenizer = loaded.tokenizer
    named: set[int] = set()
    for source in (loaded.model.generation_config, loaded.model.config, loaded.model.config.get_text_config()):
        named |= _ids(getattr(source, "eos_token_id", None))
    own = _ids(tokenizer.eos_token_id) | chat_end_ids(tokenizer, settings)
    added = tokenizer.added_tokens_decoder
    special = {token_id for token_id in named if token_id in added and added[token_id].special}
    found = own | special if own else named
    return frozenset(token_id for token_id in found if 0 <= token_id < loaded.info.vocabulary)


def _device(options: LoadOptions) -> torch.device:
    """The requested device; for "auto", the first of CUDA, MPS and CPU that this machine has."""
    name = options.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    there = {"cpu": 1, "mps": int(torch.backends.mps.is_available()), "cuda": torch.cuda.device_count()}[device.type]
    if (device.index or 0) >= there:
        raise BadInput("Device", f"This machine has no {name}.", "Use --device auto or cpu.")
    return device


def _dtype(name: str, device: torch.device) -> torch.dtype | None:
    """The requested dtype; None if the checkpoint decides."""
    if name == "auto":
        return torch.float32 if device.type == "cpu" else None
    return TORCH_DTYPES[name]


def _info(model: PreTrainedModel, name: str, spec: str, revision: str, known: str) -> ModelInfo:
    config = model.config.get_text_config(decoder=True)
    distinct = {id(parameter): parameter.numel() for parameter in model.parameters()}
    placed = getattr(model, "hf_device_map", None) or {}
    devices = {str(parameter.device) for parameter in model.parameters() if not parameter.is_meta}
    devices |= {str(device) for device in placed.values() if device in ("cpu", "disk")}  # moved in for each pass
    return ModelInfo(
        name=name,
        spec=spec,
        revision=revision,
        fingerprint=known,
        architecture=type(model).__name__,
        layers=int(config.num_hidden_layers),
        hidden=int(config.hidden_size),
        vocabulary=int(config.vocab_size),
        parameters=sum(distinct.values()),
        dtype=str(model.dtype).removeprefix("torch."),
        device=",".join(sorted(devices)),
    )


def _ids(named: object) -> set[int]:
    """The ids that a configuration names: one, several or none."""
    if isinstance(named, int):
        return {named}
    return {token_id for token_id in named if isinstance(token_id, int)} if isinstance(named, Iterable) else set()
