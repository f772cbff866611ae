"""Measures a dense and a pruned language model side by side. It knows torch, and never the interface.

What a script needs can be imported from here. Each name is loaded when it is first used, so that `import probes` is
quick and the explorer starts without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probes.explain.repair import repair as find_repair
    from probes.models.rendering import load_tokenizer, render_prompt
    from probes.pair import Pair, load_pair
    from probes.recording.reader import read as read_recording
    from probes.schema.conversation import TemplateArg, Turn
    from probes.schema.errors import BadInput, Failure
    from probes.schema.prune_setting import parse as parse_setting
    from probes.schema.record import StepRecord
    from probes.schema.repair import Repair, RepairGoal
    from probes.schema.score import ScoreSettings
    from probes.schema.settings import Follow, RunSettings, Sampling
    from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
    from probes.schema.summary import Summary, summarise
    from probes.schema.sweep import SweepPlan
    from probes.sweep.settings import swept_settings
    from probes.sweep.sweep import run_sweep
    from probes.sweep.sweep_file import read_sweep
    from probes.tasks.passages import find_passages
    from probes.tasks.scored_items import score_items
    from probes.tasks.scoring import score_texts

__all__ = [
    "BadInput",
    "CalibrationSpec",
    "Failure",
    "Follow",
    "LoadOptions",
    "Pair",
    "PairSpec",
    "Repair",
    "RepairGoal",
    "RunSettings",
    "Sampling",
    "ScoreSettings",
    "StepRecord",
    "Summary",
    "SweepPlan",
    "TemplateArg",
    "Turn",
    "find_passages",
    "find_repair",
    "load_pair",
    "load_tokenizer",
    "parse_setting",
    "read_recording",
    "read_sweep",
    "render_prompt",
    "run_sweep",
    "score_items",
    "score_texts",
    "summarise",
    "swept_settings",
]

_MODULES = {
    "models.rendering": ("load_tokenizer", "render_prompt"),
    "pair": ("Pair", "load_pair"),
    "schema.conversation": ("TemplateArg", "Turn"),
    "schema.errors": ("BadInput", "Failure"),
    "schema.record": ("StepRecord",),
    "schema.repair": ("Repair", "RepairGoal"),
    "schema.score": ("ScoreSettings",),
    "schema.settings": ("Follow", "RunSettings", "Sampling"),
    "schema.spec": ("CalibrationSpec", "LoadOptions", "PairSpec"),
    "schema.summary": ("Summary", "summarise"),
    "schema.sweep": ("SweepPlan",),
    "sweep.settings": ("swept_settings",),
    "sweep.sweep": ("run_sweep",),
    "sweep.sweep_file": ("read_sweep",),
    "tasks.passages": ("find_passages",),
    "tasks.scored_items": ("score_items",),
    "tasks.scoring": ("score_texts",),
}
_RENAMED = {
    "find_repair": ("explain.repair", "repair"),
    "parse_setting": ("schema.prune_setting", "parse"),
    "read_recording": ("recording.reader", "read"),
}
_PLACES = {name: (module, name) for module, names in _MODULES.items() for name in names} | _RENAMED


if not TYPE_CHECKING:  # or a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, found = _PLACES[name]
        return getattr(import_module(f"{__name__}.{module}"), found)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
