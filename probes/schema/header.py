"""What a run was: both models, the prune setting and what it really removed, and how the run was set up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from probes.schema.bounds import Bounded, Layers, Names, Natural
from probes.schema.part import Part
from probes.schema.settings import RunSettings


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One model, as far as a reader of a recording needs to know it."""

    name: str
    """Short, for titles: "SmolLM2-135M-Instruct"."""
    spec: str
    """As the person named it: "demo", a hub id, a folder, a .gguf file."""
    revision: str
    """The hub commit, or "" where there is none."""
    fingerprint: str
    """SHA-256 over the names, shapes, dtypes and bytes of the weights, hex; "" where it was not taken."""
    architecture: str
    """The transformers class: "LlamaForCausalLM"."""
    layers: Layers
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
    """Of the token ids, so that two calibrations can be told apart."""


@dataclass(frozen=True, slots=True)
class MatrixReport:
    """One matrix, measured after pruning."""

    name: str
    """Its module path: "model.layers.3.mlp.up_proj"."""
    layer: Layers
    sublayer: str
    """"attn", "mlp", or "" for one that belongs to neither."""
    rows: Natural
    columns: Natural
    zeros: Natural
    patterns: tuple[str, ...] = ()
    """The N:M patterns that every group of neighbours along its inputs obeys: "2:4", "4:8", "1:4"; measured where
    the model was made elsewhere."""

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
    """One tensor of the second model that is not the dense model's, measured where the model was made elsewhere."""

    name: str
    """Its name in the second model."""
    relative: Bounded | None
    """‖w' - w‖₂ / ‖w‖₂ against the dense tensor; None where there is none of this shape, or it can't be read."""
    largest: Bounded | None
    """max |w' - w|."""


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What was really removed, counted in the weights and not taken from the setting."""

    setting: str
    """"" where the second model was made elsewhere."""
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
    """Facts in sentences: a reused calibration, a matrix that could not be reached."""
    warnings: tuple[str, ...] = ()
    """Sentences that nobody may miss: the second model is the dense one."""
    compared: Natural | None = None
    """Tensors of the second model that were held against the dense model's; None where it was made here."""
    tensors: tuple[TensorReport, ...] = ()
    """Those of them that differ; all others are identical."""
    shape: str = ""
    """How the second model is smaller: "24 of 30 layers", "narrower"; "" where it is not."""
    zeroed_before: Natural = 0
    """Of the zeros, those that stand in the dense model too: nobody removed them."""
    in_layers: Natural = 0
    """All weights of the layers, experts and routers included; 0 if pruning here reaches all of them."""

    @property
    def dropped_parts(self) -> tuple[Part, ...]:
        """`dropped` as values, without any that this version does not know."""
        parts = []
        for text in self.dropped:
            with suppress(ValueError):
                parts.append(Part.parse(text))
        return tuple(parts)

    @property
    def summary(self) -> str:
        """One line for a title: "50.0 % of 106.2 M zeroed, 4 attn dropped"."""
        parts = [self.shape] if self.shape else []
        # A dense model has a few zeros too: beside a comparison, less than what would be shown is left out.
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
    """Everything that is known before the first step."""

    dense: ModelInfo
    pruned: ModelInfo
    prune: PruneReport | None
    """None in recordings of models made elsewhere by versions that did not measure them."""
    settings: RunSettings
    prompt_text: str
    """What the models really read: the prompt after the chat template."""
    prompt_ids: tuple[int, ...] = ()
    text_ids: tuple[int, ...] = ()
    """The tokens of the text to score, as they follow the prompt; empty unless a text is followed."""
    versions: dict[str, str] = field(default_factory=dict)
    """phier, torch, transformers, python."""
    started: str = ""
    """ISO 8601, UTC."""
    notes: tuple[str, ...] = ()
    """Facts about this run in sentences: how the two models are compared, what the prompt's template holds."""
    warnings: tuple[str, ...] = ()
    """Sentences that nobody may miss, because the figures mean something else without them."""

    @property
    def limit(self) -> int:
        """How many steps the run takes unless it ends before: those asked for, of a text no more than it has tokens."""
        longest = self.settings.longest
        return min(longest, len(self.text_ids)) if self.text_ids else longest

    @property
    def title(self) -> str:
        """What stands between the two names on the screen: the setting, or the second model's name."""
        return self.prune.setting if self.prune and self.prune.setting else self.pruned.name

    @property
    def every_note(self) -> tuple[str, ...]:
        """The notes on the run and on what was removed, each once."""
        return tuple(dict.fromkeys((*self.notes, *(self.prune.notes if self.prune else ()))))

    @property
    def every_warning(self) -> tuple[str, ...]:
        """The warnings about the run and about what was removed, each once."""
        return tuple(dict.fromkeys((*self.warnings, *(self.prune.warnings if self.prune else ()))))
