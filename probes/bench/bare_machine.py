"""Lets the benchmark of a GPU run on a machine that has torch and transformers alone."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class _Bounds:
    """What a type is annotated with: bounds, which only a reader of recordings checks."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    max_length: int | None = None
    min_length: int | None = None
    pattern: str | None = None


class _Struct:
    """What a record of many fields is made of: a dataclass does as well, where no recording is read."""

    def __init_subclass__(cls, *, frozen: bool = False, gc: bool = True) -> None:
        dataclass(frozen=frozen)(cls)


def stand_in_for_missing() -> tuple[str, ...]:
    """Puts a module in the place of msgspec if that is not installed, and returns the names of those replaced.

    The records of steps are annotated with its bounds, and one is a struct of it; nothing else of it is used without a
    recording.
    """
    if "msgspec" in sys.modules or importlib.util.find_spec("msgspec") is not None:
        return ()
    module: Any = ModuleType("msgspec")
    module.Meta, module.Struct = _Bounds, _Struct
    sys.modules["msgspec"] = module
    return ("msgspec",)
