"""Inspects a model's folder: its format, drops and zeros, and the provenance in its `phier.json`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from probes.checkpoints import provenance
from probes.checkpoints.foreign import with_named_drops
from probes.checkpoints.missing import measure_missing
from probes.models import quantised
from probes.models.loaded import Loaded, load, with_fingerprint
from probes.models.naming import names_apart
from probes.schema.header import ModelInfo, PruneReport
from probes.schema.spec import LOAD_DEFAULTS, LoadOptions
from probes.system.progress import UNWATCHED, Work


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result of inspecting a folder."""

    model: ModelInfo
    format: str
    """"safetensors", or its quantisation."""
    report: PruneReport
    """The measurements, with the notes and warnings about the files of both models."""
    against: ModelInfo | None
    provenance: provenance.Provenance | None
    """The content of its `phier.json`; None if it has none."""
    unchanged: bool | None
    """Are the weights those that `phier.json` describes? None if that is unknown: there is no such file, or the dtype
    differs from the one that was saved."""


def inspect(spec: str, against: str = "", options: LoadOptions = LOAD_DEFAULTS, work: Work = UNWATCHED) -> Inspection:
    """Loads and measures a model, and compares it with the dense model that `against` names. Raises what `load`
    raises."""
    names = names_apart(spec, against) if against else ("", "")

    def loaded(spec: str, name: str, *, drops_obeyed: bool) -> Loaded:
        return load(
            spec,
            options,
            work,
            name=name,
            tokenizer=PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE())),  # no text is read with it
            drops_obeyed=drops_obeyed,
        )

    dense = loaded(against, names[1], drops_obeyed=False) if against else None
    found = with_named_drops(loaded(spec, names[0], drops_obeyed=True), work)
    model = with_fingerprint(found.plain)
    said = provenance.read_provenance(model.files[0].parent) if model.files else None
    comparable = said is not None and said.dense.dtype == model.info.dtype and bool(model.info.fingerprint)
    report = measure_missing(found, dense, work)
    both = [model, *([dense] if dense else [])]
    return Inspection(
        model=model.info,
        format=quantised.quantised_format(model.model) or _stored(model),
        report=replace(
            report,
            notes=tuple(dict.fromkeys((*(note for one in both for note in one.notes), *report.notes))),
            warnings=(*(warning for one in both for warning in one.warnings), *report.warnings),
        ),
        against=with_fingerprint(dense).info if dense else None,
        provenance=said,
        unchanged=said.fingerprint == model.info.fingerprint if said and comparable else None,
    )


def _stored(model: Loaded) -> str:
    return model.files[0].suffix.removeprefix(".") if model.files else ""
