"""Reads the plan of a sweep from TOML, and writes it. Free of torch.

```toml
settings = ["wanda:{0.1..0.7/0.1}", "drop-attn:{1..8}"]
tasks = ["facts", "mine.jsonl"]
seeds = [0, 1]

[[prompts]]
prompt = "Tell me a story."
steps = 64

[load]
dtype = "bfloat16"
```
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from probes.schema.errors import BadInput
from probes.schema.foreign_text import said, visible
from probes.schema.items import Way
from probes.schema.nearest import did_you_mean
from probes.schema.settings import Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions
from probes.schema.sweep import PromptTask, SweepPlan
from probes.schema.task_options import TaskOptions
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY
from probes.sweep.settings import swept_settings, written_settings

_TITLE = "Plan"
_SECTIONS = {"load": LoadOptions, "calibration": CalibrationSpec, "options": TaskOptions}
Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class _Plain:
    """The names of a plan that are not in a section of their own, with their defaults."""

    dense: str = "demo"
    tasks: tuple[str, ...] = ()
    seeds: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()
    most: Annotated[int, msgspec.Meta(ge=1)] | None = None
    way: Way | None = None
    margin: float = MARGIN_OF_SAFETY
    level: float = LEVEL


def read_plan(path: Path) -> SweepPlan:
    """The plan in a TOML file. Raises `BadInput`, naming what can't be used."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = "it is a folder" if path.is_dir() else getattr(problem, "strerror", None) or "it is not UTF-8 text"
        message = f"{visible(str(path))} can't be read: {reason}."
        raise BadInput(_TITLE, message, "Name a TOML file with settings and tasks.") from problem
    return plan_from_toml(text, visible(str(path)))


def plan_from_toml(text: str, where: str = "The plan") -> SweepPlan:
    """The plan in a text. Raises `BadInput`, naming what can't be used; `where` names the text in errors."""
    try:
        plain = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise BadInput(_TITLE, f"{where} is not TOML: {said(problem, 200)}", "See docs/sweep.md for one.") from None
    given = dict(_known(plain, SweepPlan, where))
    texts = given.pop("settings", [])
    if isinstance(texts, str):
        texts = [texts]
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise BadInput(
            _TITLE, f"{where}: settings is not a list of texts.", 'Write settings = ["wanda:{0.1..0.7/0.1}"].'
        )
    prompts = given.pop("prompts", [])
    if not isinstance(prompts, list):
        raise BadInput(_TITLE, f"{where}: prompts is not a list of tables.", "Begin each with [[prompts]].")
    sections: dict[str, Any] = {
        name: _made(given.pop(name), kind, f"{where}, [{name}]") for name, kind in _SECTIONS.items() if name in given
    }
    plan = _made(given, _Plain, where)
    return SweepPlan(
        settings=tuple(one for text in texts for one in swept_settings(text)),
        dense=plan.dense,
        tasks=plan.tasks,
        most=plan.most,
        way=plan.way,
        margin=plan.margin,
        level=plan.level,
        prompts=tuple(_prompt(one, place, f"{where}, [[prompts]] {place}") for place, one in enumerate(prompts, 1)),
        seeds=plan.seeds or (None,),
        **sections,
    )


def plan_toml(plan: SweepPlan) -> str:
    """The plan as TOML, which `plan_from_toml` reads as the same plan; defaults are left out."""
    lines = [f"settings = {_value(list(written_settings(plan.settings)))}"]
    nested = {*_SECTIONS, "settings", "prompts"}
    lines += _lines({name: value for name, value in _changed(plan).items() if name not in nested})
    for prompt in plan.prompts:
        lines += ["", "[[prompts]]", *_lines(_changed(prompt))]
    for name in _SECTIONS:
        if changed := _changed(getattr(plan, name)):
            lines += ["", f"[{name}]", *_lines(changed)]
    return "\n".join(lines) + "\n"


def _prompt(plain: object, place: int, where: str) -> PromptTask:
    if isinstance(plain, dict) and "prompt" in plain:
        return _made({"name": f"prompt {place}", **plain}, PromptTask, where)
    raise BadInput(_TITLE, f"{where} has no prompt.", 'Write prompt = "…".')


def _made(plain: object, kind: type[Kind], where: str) -> Kind:
    """A dataclass from a table. Raises `BadInput` for an unknown name, a value of another type, or one out of range."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, Any] = {}
    for name, value in _known(plain, kind, where):
        if hints[name] is Sampling:
            found[name] = _made(value, Sampling, f"{where}, {name}")
            continue
        try:
            found[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as problem:
            what = said(problem, 200).rstrip(".")
            raise BadInput(_TITLE, f"{where}, {name}: {what}.", "Correct it.") from None
    return kind(**found)


def _known(plain: object, kind: type, where: str) -> Iterator[tuple[str, object]]:
    if not isinstance(plain, dict):
        raise BadInput(_TITLE, f"{where} is not a table.", "Write names and values.")
    names = [field.name for field in fields(kind)]
    for name, value in plain.items():
        if name not in names:
            hint = f"{did_you_mean(name, names)}Names: {', '.join(names)}."
            raise BadInput(_TITLE, f"{where} has the unknown name {visible(name, 60)!r}.", hint)
        yield name, value


def _changed(value: Any) -> dict[str, Any]:
    """The fields that differ from their defaults, and those without one."""
    found = {}
    for field in fields(value):
        now = getattr(value, field.name)
        if now != field.default:
            found[field.name] = now
    return found


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in values.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, Enum):
        return _value(value.value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if is_dataclass(value):
        return f"{{{', '.join(_lines(_changed(value)))}}}"
    return f"[{', '.join(_value(one) for one in value if one is not None)}]"
