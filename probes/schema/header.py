"""The header of a run: both models, the prune setting and the measured removal, and the run's settings."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from probes.schema.bounds import Bounded, LayerCount, Names, Natural, TokenString
from probes.schema.part import Part
from probes.schema.settings import RunSettings


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The description of one model in a recording."""

    name: str
    """Short, for titles: "SmolLM2-135M-Instruct"."""
    spec: str
    """The name that the person gave: "demo", a hub id, a folder, a .gguf file."""
    revision: str
    """The hub commit, or "" if there is none."""
    fingerprint: str
    """SHA-256 over the names, shapes, dtypes and bytes of the weights, hex; "" if it was not computed."""
    architecture: str
    """The transformers class: "LlamaForCausalLM"."""
    layers: LayerCount
    hidden: Natural
    vocabulary: Natural
    parameters: Natural
    dtype: str
    device: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """The text a setting was calibrated on."""

    source: str
    """"self" (written by the dense model), "demo" (the ids that ship), or a file or data set name."""
    samples: Natural
    length: Natural
    """Tokens a sample."""
    seed: int | None
    sha256: str
    """SHA-256 of the token ids, hex; it identifies the calibration."""


@dataclass(frozen=True, slots=True)
class MatrixReport:
    """One matrix, measured after pruning."""

    name: str
    """Its module path: "model.layers.3.mlp.up_proj"."""
    layer: LayerCount
    sublayer: str
    """"attn", "mlp", or "" if it belongs to neither."""
    rows: Natural
    columns: Natural
    zeros: Natural
    patterns: tuple[str, ...] = ()
    """The N:M patterns that every group of neighbours along its inputs obeys: "2:4", "4:8", "1:4"; measured for models
    made elsewhere."""

    @property
    def part(self) -> Part:
        """The sublayer that it is in."""
        return Part(self.sublayer, self.layer)

    @property
    def short(self) -> str:
        """The last part of its name, the same in every layer."""
        return self.name.rpartition(".")[2]

    @property
    def sparsity(self) -> float:
        return self.zeros / (self.rows * self.columns) if self.rows and self.columns else 0.0


@dataclass(frozen=True, slots=True)
class TensorReport:
    """One tensor that differs from the dense model's; measured for models made elsewhere."""

    name: str
    """Its name in the second model."""
    relative: Bounded | None
    """‖w' - w‖₂ / ‖w‖₂ against the dense tensor; None if there is none of this shape, or it can't be read."""
    largest: Bounded | None
    """max |w' - w|."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """The measured removal, counted in the weights and not taken from the setting."""

    setting: str
    """"" if the second model was made elsewhere."""
    zeroed: Natural
    """Zeros in the targeted matrices now."""
    targeted: Natural
    """Weights in the targeted matrices."""
    dropped: Names = ()
    """Sublayers that no longer run: "attn 20", "mlp 3", "block 7"."""
    dropped_parameters: Natural = 0
    mask_hash: str = ""
    """SHA-256 over the masks and drops, hex."""
    seconds: Bounded = 0.0
    calibration: Calibration | None = None
    matrices: tuple[MatrixReport, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences about facts: a reused calibration, a matrix that could not be pruned."""
    warnings: tuple[str, ...] = ()
    """Sentences that must be shown, for example that both models are identical."""
    compared: Natural | None = None
    """Tensors of the second model that were compared with the dense model's; None if it was made here."""
    tensors: tuple[TensorReport, ...] = ()
    """The compared tensors that differ; all others are identical."""
    shape: str = ""
    """How the second model is smaller: "24 of 30 layers", "narrower"; "" if it is not."""
    zeroed_before: Natural = 0
    """The zeros that are in the dense model too, so pruning did not make them."""
    in_layers: Natural = 0
    """All weights of the layers, including experts and routers; 0 if all of them can be pruned one by one."""

    @property
    def dropped_parts(self) -> tuple[Part, ...]:
        """`dropped` as values, without those that this version does not know."""
        parts = []
        for text in self.dropped:
            with suppress(ValueError):
                parts.append(Part.parse(text))
        return tuple(parts)

    @property
    def summary(self) -> str:
        """One line for a title: "50.0 % of 106.2 M zeroed, 4 attn dropped"."""
        parts = [self.shape] if self.shape else []
        # Dense models have a few zeros too: after a comparison, a share that would be shown as 0.0 % is left out.
        if self.targeted and (self.compared is None or self.zeroed / self.targeted >= 0.0005):
            parts.append(f"{100 * self.zeroed / self.targeted:.1f} % of {self.targeted / 1e6:.1f} M zeroed")
            if self.zeroed_before / self.targeted >= 0.0005:
                parts[-1] += f" ({100 * self.zeroed_before / self.targeted:.1f} % in the dense model too)"
            if self.in_layers:
                parts.append(
                    f"{100 * self.zeroed / self.in_layers:.1f} % of all {self.in_layers / 1e6:.1f} M in the layers"
                )
        kinds: dict[str, int] = {}
        for part in self.dropped_parts:
            kinds[part.kind] = kinds.get(part.kind, 0) + 1
        parts += [f"{count} {kind} dropped" for kind, count in kinds.items()]
        if self.tensors:
            parts.append(f"{len(self.tensors)} of {self.compared} tensors differ")
        return ", ".join(parts) or "nothing removed"


@dataclass(frozen=True, slots=True)
class RunHeader:
    """Everything about a run that is known before its first step."""

    dense: ModelInfo
    pruned: ModelInfo
    prune: PruneReport | None
    """None in recordings of models made elsewhere by versions that did not measure them."""
    settings: RunSettings
    prompt_text: str
    """The text that the models read: the prompt after the chat template."""
    prompt_ids: tuple[int, ...] = ()
    prompt_pieces: tuple[TokenString, ...] = ()
    """The text of each of these tokens; empty in recordings of versions that did not write it."""
    prompt_special: tuple[Natural, ...] = ()
    """The places among them, from 0, of those that the tokenizer declares special."""
    prompt_added: tuple[Natural, ...] = ()
    """Those that were added to the vocabulary besides."""
    text_ids: tuple[int, ...] = ()
    """The tokens of the text to score, as they follow the prompt; empty unless a text is followed."""
    room: Natural = 0
    """The most steps that the models' longest context has room for; 0 in recordings of older versions."""
    versions: dict[str, str] = field(default_factory=dict)
    """phier, torch, transformers, python."""
    started: str = ""
    """ISO 8601, UTC."""
    notes: tuple[str, ...] = ()
    """Sentences about this run: how the models are compared, and properties of the chat template."""
    warnings: tuple[str, ...] = ()
    """Sentences that must be shown, because the figures are misleading without them."""

    @property
    def limit(self) -> int:
        """The most steps of the run: the number in the settings, at most the tokens of a text, and at most those that
        the models can read."""
        return min(filter(None, (self.settings.longest, len(self.text_ids), self.room)))

    @property
    def title(self) -> str:
        """The second model's name in titles: its setting, or its own name if it was made elsewhere."""
        return self.prune.setting if self.prune and self.prune.setting else self.pruned.name

    @property
    def every_note(self) -> tuple[str, ...]:
        """The notes on the run and on what was removed, each once."""
        return tuple(dict.fromkeys((*self.notes, *(self.prune.notes if self.prune else ()))))

    @property
    def every_warning(self) -> tuple[str, ...]:
        """The warnings about the run and about what was removed, each once."""
        return tuple(dict.fromkeys((*self.warnings, *(self.prune.warnings if self.prune else ()))))
