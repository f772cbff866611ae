"""Models that were pruned elsewhere: the drops they name are carried out, as the code that came with them would."""

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
"""Where transformers puts the code that comes with a model, which obeys the model's drop lists itself."""


@dataclass(frozen=True, slots=True, eq=False)
class ForeignModel:
    """A model that was made elsewhere, as it is to be run."""

    loaded: Loaded
    plain: Loaded
    """The same without its drops: the weights as they lie in the files."""
    dropped: tuple[Part, ...] = ()
    """The sublayers that it names as dropped."""
    silent: tuple[str, ...] = ()
    """Paths of what therefore never runs."""
    dropped_parameters: int = 0


def with_named_drops(loaded: Loaded, work: Work) -> ForeignModel:
    """The model with the sublayers dropped that its configuration names, as LLM-Drop's own code would drop them.

    `loaded` was loaded with `drops_obeyed`. Tensors that its files lack must belong to what is dropped: that is
    tried out, by looking whether anything depends on them. They are zero afterwards.
    Raises `BadInput` where a list names what the model has not, or a needed tensor is in no file.
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
    """Raises `BadInput` where the model's answer depends on a tensor that is in no file."""
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
            f"{loaded.info.name}'s files lack {len(absent)} tensors, and its drop lists don't account for all of them.",
            "Download the model again.",
        )
