"""Writes an example of a config file: every option with its help and its default, as comments."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from enum import Enum

from explorer.config.config_file import CONFIG_SECTIONS, KEY_SECTION, section_options
from explorer.words.defaults import DEFAULT_PRUNE
from probes.schema.settings import STEPS

_WIDTH = 100
_HEAD = """\
# The defaults of phier and phier-tui. Take the # away from a line to set it.
# Options on the command line win over this file, and so do environment variables; --no-config leaves it unread.
# `phier doctor` says where this file belongs and what is wrong in it."""
_ABOUT = {
    "models": "The two models. The second is the dense one pruned by `prune`, or `pruned`.",
    "run": "A run.",
    "sampling": "The choice of the next token.",
    "calibration": "The text that calibrated methods read.",
    "loading": "How models are loaded.",
    "screen": "The explorer. PHIER_THEME, PHIER_GLYPHS and PHIER_REDUCED_MOTION win over these.",
    KEY_SECTION: 'The keys of commands, on every screen that has them. Two may be given: next-theme = ["t", "f5"].',
}
_SAMPLES: dict[str, object] = {
    "prune": DEFAULT_PRUNE,
    "pruned": "./pruned-model",
    "prompt": "Tell me a story.",
    "watch": "yes=Yes | no=No",
    "steps": STEPS,
    "analysis-temperature": 1.0,
    "chat-template": "default",
    "template-arg": ("enable_thinking=false",),
    "calibration": "texts.jsonl",
    "samples": 32,
    "length": 128,
    "prune-seed": 0,
    "device-map": "auto",
    "max-memory": "cuda:0=20GB,cpu=60GB",
}
"""Values of options whose default is none, or stands for something that is worked out."""


def example_config(keys: Iterable[tuple[str, str, str]] = ()) -> str:
    """The text. `keys` are the names of commands, their keys and what they do."""
    lines = [_HEAD]
    for section in CONFIG_SECTIONS:
        lines += ["", *_comment(_ABOUT[section]), f"[{section}]"]
        for name, kind, found, default in section_options(section):
            choices = f" One of: {', '.join(str(one.value) for one in kind)}." if issubclass(kind, Enum) else ""
            shown = f" Default: {found.shown_default}." if found.shown_default else ""
            about = found.help.replace("; - reads standard input", "")
            lines += [*_comment(f"{about}{choices}{shown}"), f"# {name} = {_value(_SAMPLES.get(name, default))}"]
    lines += ["", *_comment(_ABOUT[KEY_SECTION]), f"[{KEY_SECTION}]"]
    lines += [f"# {f'{name} = {_key(key)}':<34} # {about}" for name, key, about in keys]
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _value(given: object) -> str:
    """A value as TOML writes it."""
    value = given.value if isinstance(given, Enum) else given
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _key(key: str) -> str:
    keys = [json.dumps(one) for one in key.split(",")]
    return keys[0] if len(keys) == 1 else f"[{', '.join(keys)}]"
