"""Saves a twin as a plain folder: any program that loads the dense model can load it.

Zeros stay in place. Dropped blocks are left out, and later blocks move up. If an attention or MLP is dropped, its
matrix that writes to the residual stream is set to zero, so that a program without drops computes the same. LLM-Drop's
lists in config.json say that it need not be computed. The folder is loaded again, and must give the same logits.
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
"""On how many tokens the folder must give the twin's logits."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """A folder that was written and read again."""

    folder: Path
    provenance: provenance.Provenance
    report: PruneReport
    """The folder's measurements, compared with the dense model."""


def save(dense: Loaded, twin: Twin, report: PruneReport, folder: Path, work: Work) -> Saved:
    """Writes the twin, its tokenizer and `phier.json` into `folder`, which must be new or empty.

    The folder is moved into its place only after it was read again and gave the written weights and the twin's logits.
    Raises `BadInput` if the folder is not empty or the model can't be saved this way, and `Failure` if the disk can't
    be written or the logits differ.
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
    """The twin as an ordinary model that shares its tensors: no module is replaced, dropped blocks are removed, and
    dropped sublayers output zeros."""
    dense, anatomy, state = twin.dense, twin.anatomy, twin.state
    if how := quantised.quantised_format(dense):
        raise BadInput("Can't save", f"The dense model is quantised ({how}).", "Prune the unquantised model.")
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
    """Sets the matrix that writes a sublayer's output to zero."""
    block = twin.anatomy.block(part.layer)
    sublayer = block.sublayer(part.kind) if block else None
    assert block is not None, "a dropped sublayer exists"
    assert sublayer is not None, "a dropped sublayer exists"
    writes = writer(twin.dense, sublayer, [matrix for matrix in block.matrices if matrix.sublayer == part.kind])
    if writes is None:
        raise BadInput(
            "Can't save",
            f"No single matrix writes the output of {part}, so a plain folder can't represent its drop.",
            "Drop the whole block instead.",
        )
    module = plain.get_submodule(writes.name)
    for name, parameter in list(module.named_parameters(recurse=False)):
        setattr(module, name, nn.Parameter(torch.zeros_like(parameter), requires_grad=False))


def _leave_out(plain: PreTrainedModel, path: str, kept: list[int]) -> None:
    """Removes blocks from the list of blocks, and from the configuration's lists by layer."""
    if not kept:
        raise BadInput("Can't save", "Every layer is dropped.", "Keep at least one layer.")
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
    """Does a configuration's list hold layer numbers, as `moe_layers` does?"""
    numbers = all(type(layer) is int and 0 <= layer < layers for layer in value)
    return "layer" in key and numbers and value == sorted(set(value))


def _write(plain: PreTrainedModel, dense: Loaded, part: Path, work: Work) -> None:
    needed = plain.get_memory_footprint()
    free = shutil.disk_usage(part).free
    if free < needed:
        raise Failure(
            "Disk full",
            f"{part.name} needs {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free there.",
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
    """Loads the folder as any program would, without keeping a third copy of the weights in memory.

    Its weights are mapped from the files until they are checked, then replaced by the twin's tensors. Raises `Failure`
    if they differ from those that were written.
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
            "Drop attentions or MLPs instead of blocks, or do not save the model and use --prune.",
        ) from problem
    if fingerprint(again.model) != taken:
        raise Failure("Not saved", "The folder does not hold the weights that were written.", "Try again.")
    again.model.load_state_dict(plain.state_dict(), assign=True)
    again.model.to(dense.model.device)  # type: ignore[arg-type]  # tensors that are not saved, such as rotary angles
    return again


def _check_answers(again: Loaded, twin: Twin) -> None:
    """Raises `Failure` unless the loaded folder gives the twin's logits."""
    ids = torch.arange(_TOKENS, device=input_device(twin.model)).unsqueeze(0) % again.info.vocabulary
    if not torch.equal(_logits(again.model, ids), _logits(twin.model, ids)):
        raise Failure(
            "Not saved",
            f"The saved {again.info.architecture} does not give the logits of the pruned model with these drops.",
            "Drop whole blocks instead, or do not save the model and use --prune.",
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
    """A folder to fill, which is moved into its place if nothing raises."""
    filled = False
    try:
        with replacing(folder) as part:
            part.mkdir()
            yield part
            readable = stat.S_IMODE((part / "config.json").stat().st_mode)
            for file in part.iterdir():
                file.chmod(readable)  # weights are written readable for their owner only
            filled = True
    except OSError as problem:
        if filled:
            raise BadInput(
                "Folder is taken", f"{folder} can't be written ({problem.strerror}).", "Name a new folder."
            ) from problem
        raise BadInput(
            "Can't write", f"{folder.parent} can't be written to ({problem.strerror}).", "Choose another --out."
        ) from problem
