"""Which two models a person asks for and how they are loaded, as plain data; torch-free, so that bad options are
refused at once."""

from __future__ import annotations

import os
from dataclasses import dataclass

from probes.schema.errors import BadInput
from probes.schema.prune_setting import Setting


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is brought into memory."""

    device: str = "auto"
    """A device by name; "auto" is the first of CUDA, MPS and CPU that this machine has."""
    dtype: str = "auto"
    """A torch dtype by name; "auto" is float32 on a CPU and the checkpoint's own elsewhere."""
    device_map: str = ""
    """How accelerate places the model on several devices ("auto", "balanced", …); "" puts it on `device`."""
    trust_remote_code: bool = False
    """May code that comes with a model run?"""
    allow_pickle: bool = False
    """May weights be read from pickle files, which can run code?"""
    threads: int = 0
    """Threads a CPU computes with; 0 takes torch's default, or fewer if they are faster when the model is loaded."""

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
    """The calibration text. "" is the dense model's own writing; 0 and None take the defaults."""

    source: str = ""
    samples: int = 0
    length: int = 0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.samples < 0 or self.length < 0:
            raise BadInput(
                "Calibration", "Samples and length are numbers of at least 1.", "Leave them out for defaults."
            )


OWN_TEXT = CalibrationSpec()
"""The default: what the dense model writes itself."""


@dataclass(frozen=True, slots=True)
class PairSpec:
    """The two models. The second is `pruned` (made elsewhere) or made here from the dense one by `prune`."""

    dense: str = "demo"
    pruned: str = ""
    prune: Setting | None = None
    calibration: CalibrationSpec = OWN_TEXT
    load: LoadOptions = LOAD_DEFAULTS

    def __post_init__(self) -> None:
        if self.pruned and self.prune:
            raise BadInput(
                "Two pruned models", "Both --pruned and --prune name the second model.", "Give one of the two."
            )
        if not self.pruned and not self.prune:
            raise BadInput("No pruned model", "There is nothing to compare with.", "Give --pruned or --prune.")
