"""The two models that a person asks for and how they are loaded, as plain data. Free of torch, so that bad options are
refused at once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.errors import BadInput
from probes.schema.option import described
from probes.schema.prune_setting import Setting


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded into memory."""

    device: str = field(
        default="auto",
        metadata=described("The device: cpu, cuda, cuda:1 or mps; auto takes the first GPU, else the CPU."),
    )
    dtype: str = field(
        default="auto",
        metadata=described("float32, bfloat16, float16 or float64; auto is float32 on a CPU, else the checkpoint's."),
    )
    device_map: str = field(
        default="",
        metadata=described(
            "Spread the models over several devices: auto, balanced, sequential, or a JSON file with the device of "
            "each module (cpu, cuda:1, disk)."
        ),
    )
    trust_remote_code: bool = field(default=False, metadata=described("Run code that comes with a model."))
    allow_pickle: bool = field(
        default=False, metadata=described("Read weights from pickle files (.bin), which can run code.")
    )
    threads: int = field(
        default=0, metadata=described("Threads that a CPU computes with; 0 measures which number is fastest.", least=0)
    )

    max_memory: str = field(
        default="", metadata=described("The most that a device map puts on each device: cuda:0=20GB,cpu=60GB.")
    )

    def __post_init__(self) -> None:
        there = os.cpu_count() or 1
        if not 0 <= self.threads <= there:
            raise BadInput(
                "Threads",
                f"{self.threads} threads can't be used: this machine has {there} processor cores.",
                f"Use 1 to {there}, or leave it out to let the program measure which number is fastest.",
            )


LOAD_DEFAULTS = LoadOptions()


@dataclass(frozen=True, slots=True)
class CalibrationSpec:
    """The calibration data. The source "" is text that the dense model writes; 0 and None mean the defaults."""

    source: str = field(
        default="",
        metadata=described(
            "Calibration text: a text, JSON or JSON Lines file, or a data set id.",
            name="calibration",
            shown_default="text that the dense model writes",
        ),
    )
    samples: int = field(default=0, metadata=described("Calibration samples.", shown_default="32"))
    length: int = field(default=0, metadata=described("Tokens in a calibration sample.", shown_default="128"))
    seed: int | None = field(
        default=None,
        metadata=described(
            "The seed of pruning: the method random draws weights by it, and calibration takes samples at random "
            "places of the text instead of the first ones.",
            name="prune-seed",
            aliases=("calibration-seed",),
        ),
    )

    def __post_init__(self) -> None:
        if self.samples < 0 or self.length < 0:
            raise BadInput(
                "Calibration", "Samples and length are numbers of at least 1.", "Leave them out for defaults."
            )


OWN_TEXT = CalibrationSpec()
"""The default: text that the dense model writes."""


class OverlapMode(StrEnum):
    """How the passes of the two models of a step follow each other. On a GPU they always run at the same time."""

    AUTO = "auto"
    """At the same time where that is faster."""
    NONE = "none"
    """One after the other."""
    THREADS = "threads"
    """At the same time, in two threads of one process."""
    PROCESS = "process"
    """At the same time, the dense model's in a process of its own."""
    GRAPHS = "graphs"
    """On a GPU: at the same time, each repeated from a captured graph."""


@dataclass(frozen=True, slots=True)
class PairSpec:
    """The two models. The second is `pruned`, made elsewhere, or the dense model pruned here by `prune`."""

    dense: str = field(default="demo", metadata=described("The dense model: demo, a hub id, a folder or a .gguf file."))
    pruned: str = field(default="", metadata=described("A second model, which was pruned elsewhere."))
    prune: Setting | None = field(
        default=None,
        metadata=described(
            "Prune the dense model here: METHOD:AMOUNT[@TARGETS], joined by +.",
            shown_default="wanda:0.5, unless --pruned is given",
        ),
    )
    calibration: CalibrationSpec = OWN_TEXT
    load: LoadOptions = LOAD_DEFAULTS
    overlap: OverlapMode = field(
        default=OverlapMode.AUTO,
        metadata=described(
            "How a CPU computes a step's two passes: one after the other (none), or at the same time, in two threads "
            "or with the dense model in a process of its own; auto takes what is fast here. With --threads N, each "
            "model computes with N. A GPU computes both at the same time, and with graphs, which is experimental, "
            "without Python between its operations.",
        ),
    )

    def __post_init__(self) -> None:
        if self.pruned and self.prune:
            raise BadInput(
                "Two pruned models", "Both --pruned and --prune name the second model.", "Give one of the two."
            )
        if not self.pruned and not self.prune:
            raise BadInput("No pruned model", "There is nothing to compare with.", "Give --pruned or --prune.")
