"""Reads `config.toml` in the user's config folder: defaults of options, and keys. Free of torch and Textual.

A value is checked as the same option on the command line is. What can't be used is a sentence with the line, the name,
what was found and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from explorer.config.screen_options import ScreenOptions
from explorer.config.toml_lines import lines_of_names
from probes.schema.conversation import template_args
from probes.schema.errors import BadInput
from probes.schema.foreign_text import said, visible
from probes.schema.nearest import did_you_mean
from probes.schema.option import Option, option_name, settable
from probes.schema.prune_setting import parse
from probes.schema.settings import RunSettings, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.watch import parse_watch
from probes.system.user_folders import config_folder, shortened

CONFIG_FILE = "config.toml"
CONFIG_SECTIONS: dict[str, type] = {
    "models": PairSpec,
    "run": RunSettings,
    "sampling": Sampling,
    "calibration": CalibrationSpec,
    "loading": LoadOptions,
    "screen": ScreenOptions,
}
"""The sections of the file, each with the dataclass whose options it holds."""
KEY_SECTION = "keys"
_OF_ONE_RUN = ("text", "turn", "begun")
_TITLE = "Config file"
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
_EXAMPLES = {str: '"…"', int: "3", float: "0.5", bool: "true"}


@dataclass(frozen=True, slots=True)
class Config:
    """What a config file says."""

    path: Path
    exists: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values by the names that `Typed` has for options, as they would have been typed."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The keys of commands by the commands' names; several keys of one are separated by a comma."""
    faults: tuple[BadInput, ...] = ()
    """What can't be used, in the order of the file. `values` and `keys` are without it."""
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """The lines of sections and names."""

    def checked(self) -> Config:
        """The same. Raises the first fault."""
        for fault in self.faults:
            raise fault
        return self

    def place(self, section: str, name: str = "") -> str:
        """The file and the line, for a sentence."""
        line = self.lines.get((section, name)) or self.lines.get((section, ""))
        return f"{visible(shortened(self.path))}, line {line}" if line else visible(shortened(self.path))

    def fault(self, section: str, name: str, message: str, hint: str) -> BadInput:
        """A fault of a name in a section."""
        return BadInput(_TITLE, f"{self.place(section, name)}: {message}", hint)


def config_path() -> Path:
    """The file, which need not exist."""
    return config_folder() / CONFIG_FILE


def read_config(path: Path | None = None) -> Config:
    """The user's file, or another one. Its faults are values, so that all of them can be listed."""
    path = path or config_path()
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Config(path)
    except (OSError, UnicodeDecodeError) as problem:
        reason = "it is a folder" if path.is_dir() else getattr(problem, "strerror", None) or "it is not UTF-8 text"
        message = f"{visible(shortened(path))} can't be read: {reason}."
        return Config(path, True, faults=(BadInput(_TITLE, message, "Correct it, or move it away."),))
    return config_of(text, path)


def config_of(text: str, path: Path) -> Config:
    """What a text says, which stands in a file at `path`."""
    import tomllib  # most people have no config file

    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        message = f"{visible(shortened(path))} is not TOML: {said(problem, 200)}"
        return Config(path, True, faults=(BadInput(_TITLE, message, "`phier config --example` prints one."),))
    found = Config(path, True, lines=lines_of_names(text))
    values: dict[str, Any] = {}
    keys: dict[str, str] = {}
    faults: list[BadInput] = []
    for section, table in tables.items():
        try:
            entries = _entries(found, section, table)
        except BadInput as problem:
            faults.append(problem)
            continue
        for name, value in entries.items():
            try:
                if section == KEY_SECTION:
                    keys[name] = _key_text(found, name, value)
                else:
                    values.update([_checked(found, section, name, value)])
            except BadInput as problem:
                faults.append(problem)
    if {"prune", "pruned"} <= values.keys():
        message = "prune and pruned both name the second model."
        faults.append(found.fault("models", "pruned", message, "Leave one of them out."))
    return Config(path, True, values, keys, tuple(faults), found.lines)


def section_options(section: str) -> Iterator[tuple[str, type, Option, Any]]:
    """The options that a section may have: name, type, description, and the field's own default."""
    for entry, hint, found in settable(CONFIG_SECTIONS[section]):
        if found is not None and option_name(entry, found) not in _OF_ONE_RUN:
            yield option_name(entry, found).replace("_", "-"), hint, found, entry.default


def _entries(found: Config, section: str, table: object) -> dict[str, object]:
    known = [*CONFIG_SECTIONS, KEY_SECTION]
    if section not in known:
        belongs = _section_of(section)
        shown = f"[{visible(section, 60)}]" if isinstance(table, dict) else visible(section, 60)
        hint = f"Write it under [{belongs}]." if belongs else f"Sections: {', '.join(known)}."
        raise found.fault(section, "", f"{shown} is not known here.", f"{did_you_mean(section, known)}{hint}")
    if not isinstance(table, dict):
        message = f"{section} is {_in_words(table)}, not a section."
        raise found.fault(section, "", message, f"Write [{section}] on a line of its own, and names and values below.")
    return table


def _section_of(name: str) -> str:
    """The section that has an option of this name; "" if none has."""
    spelt = name.replace("_", "-")
    return next((one for one in CONFIG_SECTIONS if any(spelt == known for known, *_ in section_options(one))), "")


def _checked(found: Config, section: str, name: str, value: object) -> tuple[str, Any]:
    """The option's name as `Typed` has it and the value as it would be typed. Raises `BadInput`."""
    known = {option: (hint, about) for option, hint, about, _ in section_options(section)}
    spelt = name.replace("_", "-")
    if spelt not in known:
        belongs = _section_of(name)
        hint = f"It belongs in [{belongs}]." if belongs else f"Names there: {', '.join(known)}."
        message = f"[{section}] has the unknown name {visible(name, 60)}."
        raise found.fault(section, name, message, f"{did_you_mean(spelt, known)}{hint}")
    kind, about = known[spelt]
    typed = spelt.replace("-", "_")
    if issubclass(kind, Enum):
        choices = [str(member.value) for member in kind]
        if value not in choices:
            near = did_you_mean(value, choices) if isinstance(value, str) else ""
            message = f"{name} is {_in_words(value)}."
            raise found.fault(section, name, message, f"{near}Write one of: {', '.join(choices)}.")
        return typed, value
    if about.several:
        return typed, _several(found, section, name, value)
    plain = kind if kind in _KINDS else str
    if not (isinstance(value, plain) or (plain is float and isinstance(value, int))) or (
        isinstance(value, bool) and plain is not bool
    ):
        message = f"{name} is {_in_words(value)}, not {_KINDS[plain]}."
        raise found.fault(section, name, message, f"Write {name} = {_EXAMPLES[plain]}, for example.")
    if isinstance(value, int) and about.least is not None and value < about.least:
        message = f"{name} is {value}."
        raise found.fault(section, name, message, f"Write a whole number of at least {about.least}.")
    if value in ("", "-"):
        message = f"{name} is {_in_words(value)}, which has no meaning in a file."
        raise found.fault(section, name, message, "Write a value, or leave the line out.")
    try:
        _try_out(section, typed, value)
    except BadInput as problem:
        raise found.fault(section, name, f"{name}: {problem.message}", problem.hint) from problem
    return typed, float(value) if isinstance(value, int) and plain is float else value


def _several(found: Config, section: str, name: str, value: object) -> tuple[str, ...]:
    """The texts of an option that may be repeated. Raises `BadInput`."""
    texts = tuple(one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one)
    if not texts or (isinstance(value, list) and len(texts) < len(value)):
        message = f"{name} is {_in_words(value)}, not a list of texts."
        raise found.fault(section, name, message, f'Write {name} = ["…", "…"].')
    if name.replace("_", "-") == "template-arg":
        try:
            template_args(texts)
        except BadInput as problem:
            raise found.fault(section, name, f"{name}: {problem.message}", problem.hint) from problem
    return texts


def _try_out(section: str, typed: str, value: Any) -> None:
    """Makes the option's dataclass from this value alone. Raises what the dataclass raises."""
    if typed == "prune":
        parse(value)
    elif typed == "watch":
        parse_watch(value)
    elif section == "run" and typed != "follow":
        given: dict[str, Any] = {"prompt": " ", typed: value}
        RunSettings(**given)
    elif section not in ("models", "run", "screen"):
        kind = CONFIG_SECTIONS[section]
        names = {option_name(entry, found): entry.name for entry, _, found in settable(kind) if found is not None}
        kind(**{names[typed]: value})


def _key_text(found: Config, name: str, value: object) -> str:
    keys = [key for key in (value if isinstance(value, list) else [value]) if isinstance(key, str) and key]
    if not keys or (isinstance(value, list) and len(keys) < len(value)):
        message = f"{name} is {_in_words(value)}, not a key."
        raise found.fault(KEY_SECTION, name, message, f'Write {name} = "x", or ["x", "f5"] for two keys.')
    return ",".join("comma" if key == "," else key for key in keys)


def _in_words(value: object) -> str:
    """A value of a TOML file, with its kind."""
    if isinstance(value, bool):
        return f"{'true' if value else 'false'}"
    if isinstance(value, str):
        return f"the text “{visible(value, 60)}”" if value else "an empty text"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    return "a section" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a date or time"
