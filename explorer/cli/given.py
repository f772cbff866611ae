"""What was typed on the command line: no option may be ignored in silence."""

from __future__ import annotations

from collections.abc import Container

import typer

from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, Setting

OF_A_RUN = frozenset(
    (
        "dense", "pruned", "prune", "prompt", "raw", "chat_template", "follow", "text", "temperature", "top_k", "top_p",
        "seed", "analysis_temperature", "steps", "calibration", "samples", "length", "calibration_seed",
    )
)  # fmt: skip
"""The parameters of which a recording has its own."""
OF_CALIBRATION = frozenset(("calibration", "samples", "length"))


def refuse_empty(context: typer.Context, *allowed: str) -> None:
    """Raises `BadInput` for an option that was given nothing, as happens with a variable of the shell that is unset."""
    for name, flag in _given(context).items():
        if context.params.get(name) in ("", [""], ("",)) and name not in allowed:
            raise BadInput("Empty option", f"{flag} was given nothing.", "Give it a value, or leave it out.")


def refuse_ignored(context: typer.Context, names: Container[str], verb: str, rest: str, hint: str) -> None:
    """Raises `BadInput` if one of these parameters was given; `verb` is what several of them do."""
    ignored = [flag for name, flag in _given(context).items() if name in names]
    if ignored:
        does = verb if len(ignored) > 1 else f"{verb}s"
        raise BadInput("Option without effect", f"{' and '.join(ignored)} {does} {rest}", hint)


def refuse_idle_calibration(context: typer.Context, setting: Setting | None, seed: str = "calibration_seed") -> None:
    """Raises `BadInput` for calibration options if nothing is calibrated; a seed also draws what is random."""
    parts = setting.parts if setting else ()
    if any(part.calibrated for part in parts):
        return
    rest = f"nothing to {setting}, which is not calibrated." if setting else "nothing without --prune."
    refuse_ignored(context, OF_CALIBRATION, "say", rest, "Leave it out, or choose a calibrated method such as wanda.")
    if not any(part.method is Method.RANDOM for part in parts):
        refuse_ignored(context, (seed,), "say", rest, "Leave it out, or choose a calibrated method such as wanda.")


def _given(context: typer.Context) -> dict[str, str]:
    """The options that were typed, by the parameter's name."""
    flags = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name) if parameter.name else None
        if parameter.name and source is not None and source.name == "COMMANDLINE":
            flags[parameter.name] = parameter.opts[0]
    return flags
