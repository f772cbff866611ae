"""Saves a twin as a plain folder that anything loads which loads the dense model.

Zeros stay in place. Dropped blocks are left out and the rest moves up. Of a dropped attention or MLP the matrix that
writes to the residual stream is zero, so that a program which knows nothing of drops computes the same; LLM-Drop's
lists in config.json say that it need not be computed. What was written is loaded again and must answer the same.
"""

from __future__ import annotations

import platform
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.checkpoints import provenance
from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.missing import measure_missing
from probes.models import quantised
from probes.models.devices import input_device
from probes.models.fingerprint import fingerprint
from probes.models.loaded import Loaded, load, with_fingerprint
from probes.models.quiet_libraries import reporting
from probes.prune.row_roles import writer
from probes.schema.errors import BadInput, Failure
from probes.schema.header import PruneReport
from probes.schema.part import BLOCK, Part
from probes.schema.spec import LoadOptions
from probes.system.files import replacing
from probes.system.free_folder import check_free
from probes.system.progress import Work
from probes.system.user_folders import expanded
from probes.twin.sharing import sharing_copy
from probes.twin.twin import Twin

_TOKENS = 16
"""On how many tokens the folder must answer as the twin does."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A folder that was written and read again."""

    folder: Path
    provenance: provenance.Provenance
    report: PruneReport
    """What was measured in the folder, against the dense model."""


def save(dense: Loaded, twin: Twin, report: PruneReport, folder: Path, work: Work) -> Saved:
    """Writes the twin, its tokenizer and `phier.json` into `folder`, which must be new or empty.

    The folder takes its place in one move, once it has been read again: with the weights that were written, and the
    twin's own logits. Raises `BadInput` where the folder is taken or the model can't be saved this way, and `Failure`
    where the disk refuses or the folder does not answer as the twin does.
    """
    folder = expanded(folder).absolute()
    check_free(folder)
    plain = _plain(twin)
    with _new_folder(folder) as part:
        _write(plain, dense, part, work)
        taken = fingerprint(plain)
        again = _read_again(part, plain, taken, dense, work)
        _check_answers(again, twin)
        known = with_fingerprint(dense).info
        made = provenance.Provenance(
            setting=report.setting,
            dense=known,
            calibration=report.calibration,
            mask_hash=report.mask_hash,
            dropped=report.dropped,
            zeroed=report.zeroed,
            targeted=report.targeted,
            fingerprint=taken,
            versions={
                "phier": version("phier"),
                "torch": version("torch"),
                "transformers": version("transformers"),
                "python": platform.python_version(),
            },
            written=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        provenance.write_provenance(part, made)
        found = measure_missing(with_named_drops(again, work), dense, work)
        work.check("Saving")
    return Saved(folder, made, found)


def _plain(twin: Twin) -> PreTrainedModel:
    """The twin as an ordinary model that shares its tensors: nothing stands in another's place, and what is dropped
    is gone or silent."""
    dense, anatomy, state = twin.dense, twin.anatomy, twin.state
    if how := quantised.quantised_format(dense):
        raise BadInput("Can't save", f"The dense model is quantised ({how}).", "Prune the model it was made of.")
    if any(parameter.is_meta for parameter in dense.parameters()):
        raise BadInput(
            "Can't save", "A device map keeps weights of the dense model off the device.", "Load without --device-map."
        )
    plain = sharing_copy(dense)
    for name in state.changes:
        plain.get_submodule(name).weight = twin.stored(name, twin.weight(name))
    gone = sorted(part.layer for part in state.dropped if part.kind == BLOCK)
    stack = anatomy.blocks[0].name.rpartition(".")[0]
    kept = [layer for layer, _ in enumerate(plain.get_submodule(stack).children()) if layer not in gone]
    lists: dict[str, list[int]] = {"attn": [], "mlp": []}
    for part in sorted(state.dropped):
        if part.kind != BLOCK and part.layer in kept:
            _silence(plain, twin, part)
            lists[part.kind].append(kept.index(part.layer))
    if gone:
        _leave_out(plain, stack, kept)
    config: Any = plain.config
    if lists["attn"] or lists["mlp"]:
        config.drop_attn_list, config.drop_mlp_list = sorted(lists["attn"]), sorted(lists["mlp"])
    return plain


def _silence(plain: PreTrainedModel, twin: Twin, part: Part) -> None:
    """Makes zero what writes a sublayer's output."""
    block = twin.anatomy.block(part.layer)
    sublayer = block.sublayer(part.kind) if block else None
    assert block is not None, "only what there is has been dropped"
    assert sublayer is not None, "only what there is has been dropped"
    writes = writer(twin.dense, sublayer, [matrix for matrix in block.matrices if matrix.sublayer == part.kind])
    if writes is None:
        raise BadInput(
            "Can't save",
            f"No single matrix writes the output of {part}, so it can't be made silent in a plain folder.",
            "Drop the whole block instead.",
        )
    module = plain.get_submodule(writes.name)
    for name, parameter in list(module.named_parameters(recurse=False)):
        setattr(module, name, nn.Parameter(torch.zeros_like(parameter), requires_grad=False))


def _leave_out(plain: PreTrainedModel, path: str, kept: list[int]) -> None:
    """Takes blocks out of the list of blocks, and out of what the configuration says layer by layer."""
    if not kept:
        raise BadInput("Can't save", "Every layer is dropped.", "Keep one of them.")
    stack = plain.get_submodule(path)
    assert isinstance(stack, nn.ModuleList)
    layers = len(stack)
    parent, _, name = path.rpartition(".")
    setattr(plain.get_submodule(parent), name, nn.ModuleList(stack[layer] for layer in kept))
    config: Any = plain.config.get_text_config(decoder=True)
    for key, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == layers:
            setattr(config, key, [value[layer] for layer in kept])
        elif isinstance(value, list) and _are_layers(key, value, layers):
            setattr(config, key, [kept.index(layer) for layer in value if layer in kept])
    config.num_hidden_layers = len(kept)


def _are_layers(key: str, value: list[Any], layers: int) -> bool:
    """Does a configuration's list name some of so many layers by their numbers, as `moe_layers` does?"""
    numbers = all(type(layer) is int and 0 <= layer < layers for layer in value)
    return "layer" in key and numbers and value == sorted(set(value))


def _write(plain: PreTrainedModel, dense: Loaded, part: Path, work: Work) -> None:
    needed = plain.get_memory_footprint()
    free = shutil.disk_usage(part).free
    if free < needed:
        raise Failure(
            "Disk full",
            f"{part.name} needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free there.",
            "Choose another --out, or a smaller --dtype.",
        )
    work.report("Saving")
    try:
        with reporting(work, "Saving"):
            plain.save_pretrained(part)
            dense.tokenizer.save_pretrained(part)
    except (OSError, SafetensorError) as problem:
        raise Failure(
            "Not saved", f"{part.parent} could not be written to: {problem}", "Choose another --out."
        ) from problem


def _read_again(part: Path, plain: PreTrainedModel, taken: str, dense: Loaded, work: Work) -> Loaded:
    """The folder as anybody would read it, without a third copy of the weights beside the dense model and the twin.

    It is mapped from its files until it is known to hold what was written, and has the twin's tensors from then on.
    Raises `Failure` where it holds others.
    """
    try:
        again = load(
            str(part),
            LoadOptions(device_map="cpu", dtype=_dtype(plain)),
            work,
            tokenizer=dense.tokenizer,
            drops_obeyed=True,
        )
    except BadInput as problem:
        raise Failure(
            "Not saved",
            f"The configuration of {type(plain).__name__} can't describe the layers that are left: {problem.message}",
            "Drop attentions or MLPs instead of blocks, or use --prune where the model is run.",
        ) from problem
    if fingerprint(again.model) != taken:
        raise Failure("Not saved", "The folder does not hold the weights that were written.", "Try again.")
    again.model.load_state_dict(plain.state_dict(), assign=True)
    again.model.to(dense.model.device)  # type: ignore[arg-type]  # what is saved nowhere, such as rotary angles
    return again


def _check_answers(again: Loaded, twin: Twin) -> None:
    """Raises `Failure` unless the folder, read as anybody would read it, gives the twin's logits."""
    ids = torch.arange(_TOKENS, device=input_device(twin.model)).unsqueeze(0) % again.info.vocabulary
    if not torch.equal(_logits(again.model, ids), _logits(twin.model, ids)):
        raise Failure(
            "Not saved",
            f"Loaded plainly, the folder would not compute what {again.info.architecture} computes with these drops.",
            "Drop whole blocks instead, or use --prune where the model is run.",
        )


def _logits(model: PreTrainedModel, ids: Tensor) -> Tensor:
    with torch.inference_mode():
        logits = model(input_ids=ids.to(input_device(model)), use_cache=False).logits
    assert isinstance(logits, Tensor)
    return logits.cpu()


def _dtype(model: PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its place if nothing goes wrong."""
    filled = False
    try:
        with replacing(folder) as part:
            part.mkdir()
            yield part
            readable = stat.S_IMODE((part / "config.json").stat().st_mode)
            for file in part.iterdir():
                file.chmod(readable)  # weights are written for their owner alone
            filled = True
    except OSError as problem:
        if filled:
            raise BadInput(
                "Folder is taken", f"{folder} can't be written ({problem.strerror}).", "Name a folder that is new."
            ) from problem
        raise BadInput(
            "Can't write", f"{folder.parent} can't be written to ({problem.strerror}).", "Choose another --out."
        ) from problem
