"""What makes a run's figures again: the command line, and the lines of Python. Both read what the header recorded."""

from __future__ import annotations

import pprint
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum

import probes
from explorer.sources.command_line import run_words
from explorer.sources.continued import spec_of
from explorer.sources.program import program
from probes.schema.header import RunHeader
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec

_WIDTH = 100
_GIVEN = PairSpec(pruned="named by the header")
"""Where and how to load, if the header does not say: the defaults."""


def run_command(header: RunHeader, path: Sequence[StepRecord]) -> str:
    """The command that prints these steps of a run again. "" if no command can: the header does not name its models, or
    a token was forced, for which there is no option."""
    return _command("run", header, path, ("--steps", str(len(path)))) if path else ""


def explain_command(header: RunHeader, path: Sequence[StepRecord], first: int, last: int | None) -> str:
    """The command that explains a step of a run, or a span of steps; "" as for `run_command`."""
    where = ("--at", str(first)) if last is None else ("--span", f"{first}:{last}")
    return _command("explain", header, path[: last or first], where)


def verdict_command(header: RunHeader, tasks: Sequence[str], margin: float, level: float) -> str:
    """The command that judges the setting of a run on these tasks; "" if the header does not name its models."""
    if not _names_models(header):
        return ""
    spec = spec_of(header, _GIVEN)
    models = ["--dense", spec.dense, *(("--prune", str(spec.prune)) if spec.prune else ("--pruned", spec.pruned))]
    judged = ["--margin", f"{margin:g}", "--level", f"{level:g}"]
    named = ["--tasks", ",".join(tasks)] if tasks else []
    return shlex.join([program("phier"), "verdict", *models, *_pair_words(spec), *named, *judged])


def _command(name: str, header: RunHeader, path: Sequence[StepRecord], more: Sequence[str]) -> str:
    if not _names_models(header) or any(_forced(path)):
        return ""
    return shlex.join([program("phier"), name, *run_words(header), *_pair_words(spec_of(header, _GIVEN)), *more])


def python_lines(header: RunHeader, path: Sequence[StepRecord]) -> str:
    """A script that measures these steps again and prints the figures of the last one; `step` is then its record, and
    `lockstep.path` has all. "" if the header does not name its models."""
    if not _names_models(header):
        return ""
    imports: dict[str, set[str]] = {"probes": {"load_pair"}}
    spec = python_value(spec_of(header, _GIVEN), imports)
    settings = python_value(header.settings, imports)
    forced = dict(_forced(path))
    if forced:
        step = ["    step = lockstep.step(**forced.get(len(lockstep.path) + 1, {}))"]
        named = [f"forced = {pprint.pformat(forced, width=_WIDTH)}  # token ids, by step"]
    else:
        step, named = ["    step = lockstep.step()"], []
    lines = [
        *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())),
        "",
        f"pair = load_pair({spec})",
        f"settings = {settings}",
        *named,
        "lockstep = pair.lockstep(settings)",
        f"while len(lockstep.path) < {len(path)}:",
        *step,
        "compared = step.shared or step.own  # shared: both models on one context",
        "if compared is not None:",
        '    print(f"step {step.step}", compared.h, compared.z, compared.p, sep="\\n")',
        "print(step.sum)",
        "lockstep.close()",
        "pair.close()",
    ]
    return "\n".join(lines) + "\n"


def _names_models(header: RunHeader) -> bool:
    return bool(header.dense.spec and header.pruned.spec)


def _forced(path: Iterable[StepRecord]) -> Iterator[tuple[int, dict[str, int]]]:
    """The tokens that a person forced, by step and context."""
    for record in path:
        contexts = {"dense": record.taken, "pruned": record.taken_pruned}
        if found := {name: taken.token_id for name, taken in contexts.items() if taken is not None and taken.forced}:
            yield record.step, found


def _pair_words(spec: PairSpec) -> list[str]:
    """The options of loading that the run's own ones leave out."""
    calibration, load = CalibrationSpec(), LoadOptions()
    options = {
        "--dtype": "" if spec.load.dtype == load.dtype else spec.load.dtype,
        "--device": "" if spec.load.device in (load.device, "cpu") else spec.load.device,
        "--device-map": spec.load.device_map,
    }
    if spec.prune is not None and any(part.calibrated for part in spec.prune.parts) and spec.calibration != calibration:
        options |= {
            "--calibration": spec.calibration.source,
            "--samples": str(spec.calibration.samples or ""),
            "--length": str(spec.calibration.length or ""),
            "--prune-seed": "" if spec.calibration.seed is None else str(spec.calibration.seed),
        }
    return [word for name, value in options.items() if value for word in (name, value)]


def python_value(value: object, imports: dict[str, set[str]]) -> str:
    """A value as an expression of Python; the names that it needs are added to `imports`."""
    if isinstance(value, Setting):
        _needs("parse_setting", "", imports)
        return f"parse_setting({str(value)!r})"
    if isinstance(value, Enum):
        return f"{_needs(type(value).__name__, type(value).__module__, imports)}.{value.name}"
    if is_dataclass(value) and not isinstance(value, type):
        given = [(field, getattr(value, field.name)) for field in fields(value)]
        kept = [(field.name, one) for field, one in given if field.default is MISSING or one != field.default]
        name = _needs(type(value).__name__, type(value).__module__, imports)
        return f"{name}({', '.join(f'{key}={python_value(one, imports)}' for key, one in kept)})"
    if isinstance(value, tuple):
        inside = ", ".join(python_value(one, imports) for one in value)
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _needs(name: str, module: str, imports: dict[str, set[str]]) -> str:
    imports.setdefault("probes" if name in probes.__all__ else module, set()).add(name)
    return name
