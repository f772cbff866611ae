"""Carries out the drops that a model's configuration names, for models that were pruned elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from probes.checkpoints.weight_diff import tensors
from probes.models.loaded import Loaded, named_drops
from probes.schema.errors import BadInput
from probes.schema.part import Part
from probes.system.progress import Work
from probes.twin.anatomy import probe_ids
from probes.twin.twin import Twin

_FOREIGN = "transformers_modules."
"""The package of code that comes with a model; that code obeys the model's drop lists itself."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignModel:
    """A model that was made elsewhere, with its drops carried out."""

    loaded: Loaded
    plain: Loaded
    """The same model without its drops: the weights as they are in the files."""
    dropped: tuple[Part, ...] = ()
    """The sublayers that its configuration names as dropped."""
    silent: tuple[str, ...] = ()
    """Paths of the modules and tensors that are out of use because of the drops."""
    dropped_parameters: int = 0


def with_named_drops(loaded: Loaded, work: Work) -> ForeignModel:
    """Drops the sublayers that the model's configuration names, as LLM-Drop's own code does.

    `loaded` was loaded with `drops_obeyed`. Tensors that its files lack must belong to dropped sublayers; this is
    tested by checking that the logits do not depend on them. They are zero afterwards. Raises `BadInput` if a list
    names a sublayer that the model lacks, or if a needed tensor is in no file.
    """
    lists = named_drops(loaded.model.config.to_dict())
    parts = tuple(Part(kind, layer) for kind, layers in lists.items() for layer in layers)
    if not parts or type(loaded.model).__module__.startswith(_FOREIGN):
        return ForeignModel(loaded, loaded)
    work.report(f"Dropping {len(parts)} sublayers")
    twin = Twin(loaded.model)
    twin.drop(*parts)
    if loaded.absent:
        _check_unneeded(loaded, twin)
    run = replace(loaded, model=twin.model)
    sublayers = [sublayer for sublayer in twin.anatomy.sublayers if sublayer.part in parts]
    silent = [path for sublayer in sublayers for path in sublayer.modules]
    return ForeignModel(run, loaded, parts, (*silent, *loaded.absent), twin.dropped_parameters)


def _check_unneeded(loaded: Loaded, twin: Twin) -> None:
    """Raises `BadInput` if the model's logits depend on a tensor that is in no file."""
    held = tensors(loaded.model)
    absent = [held[name] for name in loaded.absent if name in held and not held[name].is_meta]
    try:
        for tensor in absent:
            tensor.fill_(float("nan"))
        with torch.inference_mode():
            answered = twin.model(input_ids=probe_ids(twin.model), use_cache=False).logits
        sound = bool(answered.isfinite().all())
    finally:
        for tensor in absent:
            tensor.zero_()
    if not sound:
        raise BadInput(
            "Weights missing",
            f"{loaded.info.name}'s files lack {len(absent)} tensors, and some of them are not in dropped sublayers.",
            "Download the model again.",
        )
