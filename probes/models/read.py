"""Reads a model and a tokenizer from a folder into memory, or says why they can't be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from weakref import finalize

import torch
from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.distributed.configuration_utils import DistributedConfig
from transformers.models.auto import CONFIG_MAPPING, AutoModelForCausalLM

from probes.models import adapter, unread
from probes.models.configured import doubtful, read_configuration
from probes.models.devices import available_bytes
from probes.models.error_boundary import SMALLER, error_boundary
from probes.models.locate import read_config
from probes.models.offloaded import offload_folder
from probes.models.placing import memory_limits, named_map
from probes.models.quantised import check_readable, decompress, silenced, unknown_method
from probes.models.quiet_libraries import reporting
from probes.models.safetensors_header import bytes_needed, count_tensors
from probes.models.unused_torch import without_compiler
from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import visible
from probes.schema.spec import LoadOptions
from probes.system.progress import Work
from probes.system.ranks import ranks

_TRIED = 8
"""How many words of a tokenizer are tried before it counts as unable to make tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadModel:
    """A model, and what was found while it was read."""

    model: PreTrainedModel
    absent: tuple[str, ...]
    """Tensors that are in no file."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def read_settings(
    folder: Path, files: Sequence[Path], name: str, options: LoadOptions, *, drops_obeyed: bool
) -> PreTrainedConfig:
    """The folder's configuration. Raises `BadInput` unless it is a causal language model's, and the options allow what
    the folder needs: foreign code or pickles."""
    found = read_config(folder)
    refuse_foreign_code(found, name, options.trust_remote_code)
    check_readable(found, name)
    if not (options.trust_remote_code or drops_obeyed):
        _refuse_drops(found, name)
    _refuse_pickles(folder, files, name, options.allow_pickle)
    size = sum(file.stat().st_size for file in files)
    if not size:
        raise BadInput("Broken weights", f"{visible(str(files[0]))} is empty.", "Download it again.")
    return read_configuration(
        folder, found, name, tensors=count_tensors(files), size=size, remote_code=options.trust_remote_code
    )


def named_drops(config: Mapping[str, object]) -> dict[str, tuple[int, ...]]:
    """The layers whose "attn" and "mlp" a configuration names as dropped, as LLM-Drop writes them.

    Its lists hold layer numbers, or one entry for each layer: true if the sublayer is dropped, false or null if not.
    """
    dropped = {}
    for sublayer, key in (("attn", "drop_attn_list"), ("mlp", "drop_mlp_list")):
        listed = config.get(key)
        entries = list(enumerate(listed)) if isinstance(listed, list) else []
        numbers = [(at, entry) for at, entry in entries if isinstance(entry, int) and entry is not False]
        dropped[sublayer] = tuple(sorted({at if entry is True else entry for at, entry in numbers}))
    return dropped


def read_model(
    folder: Path,
    config: PreTrainedConfig,
    files: Sequence[Path],
    name: str,
    options: LoadOptions,
    work: Work,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
    drops_obeyed: bool = False,
    sharded: bool = False,
) -> ReadModel:
    """The folder's causal LM on `device` (or placed by the device map, or this process's part of it if `sharded`);
    `dtype` None keeps the checkpoint's own.

    With `drops_obeyed`, the files may lack tensors of layers whose sublayers the configuration names as dropped. Raises
    `BadInput` if the folder holds no model or not all of it, and `Failure` if memory is too small.
    """
    needed, device_map = bytes_needed(files, dtype), "" if sharded else options.device_map
    if not device_map and not sharded:
        _refuse_too_large(needed, device, name)
    placed: object = named_map(options) or (None if device.type == "cpu" else {"": device})
    placing: dict[str, object] = {"device_map": placed, "max_memory": memory_limits(options) or None}
    if sharded:
        placing = {"distributed_config": DistributedConfig(tp_size=ranks(), tp_plan="auto")}
    task = f"Loading {name}"
    found = read_config(folder)
    hint = "Name another model." if not device_map else "Use a device map such as auto or balanced."
    hint = f"{doubtful(found)}{hint}"
    failed = f"{name} can't be loaded from {visible(str(files[0] if len(files) == 1 else folder))}"
    loading = error_boundary("Model not loaded", failed, hint, memory=lambda: _too_large(name, needed))
    with (
        silenced(found),
        reporting(work, task),
        loading,
        _tensors_only(failed),
        adapter.without_adapters(),
        without_compiler(),
        unread.collecting_unused() as left,
    ):
        work.report(task)
        offloaded = offload_folder() if device_map else None
        read: Any = AutoModelForCausalLM.from_pretrained(  # the types do not include the pair that it returns here
            folder,
            config=config,
            dtype=dtype or "auto",
            **placing,
            offload_folder=offloaded.name if offloaded else None,
            use_safetensors=None if options.allow_pickle else True,
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
        model, report = read
        if isinstance(model, PreTrainedModel):
            decompress(model)
            if offloaded:
                finalize(model, offloaded.cleanup)
    if not isinstance(model, PreTrainedModel):
        raise BadInput("Not a language model", f"{name} is a {type(model).__name__}.", "Name a causal language model.")
    left.unused.update((str(key) for key in _several(report.get("unexpected_keys"))), unread.read_unused(folder))
    notes, warnings = unread.notes_on_unused(left, model, files, name)
    absent = _absent(report, name, named_drops(found) if drops_obeyed else {}, _head(model))
    model.requires_grad_(False)
    model.eval()
    return ReadModel(model, absent, notes, (*warnings, *unknown_method(model, name)))


def read_tokenizer(folder: Path, config: PreTrainedConfig, options: LoadOptions) -> PreTrainedTokenizerBase | None:
    """The folder's tokenizer; None if it has none, or one that makes no tokens."""
    files = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
    if not any((folder / file).exists() for file in files):
        return None
    with error_boundary(
        "Tokenizer not loaded", f"The tokenizer in {visible(str(folder))} can't be read", "Download it again."
    ):
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=config, trust_remote_code=options.trust_remote_code, local_files_only=True
        )
        usable = isinstance(tokenizer, PreTrainedTokenizerBase) and _has_words(tokenizer)
    return tokenizer if usable else None


def _has_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Can it turn any text into tokens? Its words need not be English, so some of its own are tried."""

    def own_words() -> Iterator[str]:
        special = {token_id for token_id, token in tokenizer.added_tokens_decoder.items() if token.special}
        known = [token_id for token_id in tokenizer.get_vocab().values() if token_id not in special]
        yield from (str(tokenizer.decode([token_id])) for token_id in known[:_TRIED])

    for text in chain(("a word",), own_words()):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        if any(token_id != tokenizer.unk_token_id for token_id in ids):
            return True
    return False


@contextmanager
def _tensors_only(failed: str) -> Iterator[None]:
    """Raises `BadInput` for a pickle that holds more than tensors: torch's own message is for programmers."""
    try:
        yield
    except UnpicklingError as problem:
        raise BadInput(
            "Pickled weights",
            f"{failed}: it holds objects other than tensors, which could run code.",
            "Save it again with save_pretrained, which writes safetensors.",
        ) from problem


def refuse_foreign_code(config: Mapping[str, object], name: str, allowed: bool) -> None:
    """Raises `BadInput` if the model comes with code and that is not allowed."""
    kind = config.get("model_type")
    known = isinstance(kind, str) and kind in CONFIG_MAPPING
    if config.get("auto_map") and not known and not allowed:
        raise BadInput(
            "Code of its own",
            f"{name} comes with Python code that would run on this machine.",
            "Read that code, then allow it with --trust-remote-code.",
        )


def _refuse_drops(config: Mapping[str, object], name: str) -> None:
    """Raises `BadInput` if the configuration names drops: only the model's own code obeys these lists."""
    drops = [
        f"drop-{kind}@layers={','.join(map(str, layers))}" for kind, layers in named_drops(config).items() if layers
    ]
    if drops:
        raise BadInput(
            "Dropped by its own code",
            f"{name} names dropped sublayers, but only its own code drops them: without it, nothing would be dropped.",
            f"Drop them here from its dense model: --prune {'+'.join(drops)}",
        )


def _refuse_pickles(folder: Path, files: Sequence[Path], name: str, allowed: bool) -> None:
    if not files:
        raise BadInput(
            "No weights",
            f"{name} has no safetensors weights in {visible(str(folder))}.",
            "Name a folder or file that holds them.",
        )
    if files[0].suffix != ".safetensors" and not allowed:
        raise BadInput(
            "Pickled weights",
            f"The weights of {name} are in {visible(files[0].name, 100)}, a format that can run code when opened.",
            "Use safetensors, or allow it with --allow-pickle if you trust the source.",
        )


def _refuse_too_large(needed: int, device: torch.device, name: str) -> None:
    free = available_bytes(device)
    if needed > free:
        raise _too_large(name, needed, free, device)


def _too_large(name: str, needed: int, free: int | None = None, device: torch.device | None = None) -> Failure:
    there = f"; {free / 1e9:.1f} GB are free on {device}" if free is not None else ""
    return Failure("Out of memory", f"{name} needs {needed / 1e9:.1f} GB for its weights{there}.", SMALLER)


def _absent(
    report: Mapping[str, object], name: str, dropped: Mapping[str, Sequence[int]], head: Set[str]
) -> tuple[str, ...]:
    """The tensors that are in no file. Raises `BadInput` if one is not in a layer with a dropped sublayer.

    A weight that is in no file would be random, and every figure wrong. `head` names the tensors of the LM head.
    """
    missing = sorted(str(key) for key in _several(report.get("missing_keys")))
    layers = {str(layer) for found in dropped.values() for layer in found}
    if absent := [key for key in missing if not layers & set(key.split("."))]:
        if set(absent) <= head:
            raise BadInput(
                "Not a language model",
                f"{name}'s files hold no LM head ({absent[0]}): it is an embedding or base model.",
                "Name a causal language model.",
            )
        raise BadInput(
            "Weights missing",
            f"{name}'s files lack {len(absent)} of the model's tensors, for example {absent[0]}.",
            "Download the model again.",
        )
    for key, stored, expected in sorted(_several(report.get("mismatched_keys")), key=str):
        raise BadInput(
            "Weights don't fit",
            f"{visible(str(key), 200)} is {_shape(stored)} in the files of {name}, but its config.json makes it "
            f"{_shape(expected)}.",
            "Correct the configuration, or download the model again.",
        )
    for message in _several(report.get("error_msgs")):
        raise BadInput("Weights don't fit", f"{name}'s weights don't fit its config.json: {visible(str(message), 600)}")
    return tuple(missing)


def _head(model: PreTrainedModel) -> frozenset[str]:
    """The names of the LM head's tensors."""
    head = model.get_output_embeddings()
    path = next((name for name, module in model.named_modules() if module is head), "")
    return (
        frozenset(f"{path}.{name}" for name, _ in head.named_parameters()) if path and head is not None else frozenset()
    )


def _several(found: object) -> Sequence[Any]:
    return list(found) if isinstance(found, list | tuple | set | frozenset) else []


def _shape(size: Sequence[int]) -> str:
    return " × ".join(map(str, size)) or "a single number"
