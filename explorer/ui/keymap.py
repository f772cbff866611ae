"""The keys that a person has chosen in the config file, checked against every screen."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator, Mapping

import explorer.ui.screens
from explorer.config.config_file import KEY_SECTION, Config
from explorer.ui.commands import TOUR_COMMANDS, Command, Commanded, usual_keys
from explorer.ui.filled_keys import with_usual_keys
from explorer.ui.key_names import RESERVED, command_id, is_text, key_names, textual_keys, written_keys
from explorer.ui.screens.dialog import Dialog
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.nearest import did_you_mean


def chosen_keys(config: Config) -> Mapping[str, str]:
    """A keymap for Textual: keys by the names of commands. Raises the first fault."""
    found, faults = _checked(config)
    for fault in faults:
        raise fault
    return found


def key_faults(config: Config) -> list[BadInput]:
    """What is wrong with the chosen keys, in the order of the file."""
    return _checked(config)[1]


def every_command() -> list[tuple[str, str, str]]:
    """Every command that a key can be chosen for, once: its name, its keys as they are written, and what it does.

    The keys are those that it has on most screens."""
    keys_of: dict[str, Counter[str]] = {}
    does: dict[str, str] = {}
    for table in (*_tables().values(), TOUR_COMMANDS):
        for name, keys, about in _bindings(table):
            keys_of.setdefault(name, Counter())[keys] += 1
            if name not in does:
                does[name] = _filled(about, table)
    usual = {name: found.most_common(1)[0][0] for name, found in keys_of.items()}
    return [(name, ",".join(written_keys(keys)), does[name]) for name, keys in usual.items()]


def _checked(config: Config) -> tuple[dict[str, str], list[BadInput]]:
    tables = _tables()
    known = {name for table in (*tables.values(), TOUR_COMMANDS) for name, _, _ in _bindings(table)}
    found: dict[str, str] = {}
    faults = []
    for name, written in config.keys.items():
        try:
            found[name] = _key_of(config, name, written, known)
        except BadInput as problem:
            faults.append(problem)
    for screen, own in tables.items():
        table = own if issubclass(screen, Dialog) else (*own, *TOUR_COMMANDS)
        faults += [fault for fault in _clashes(config, screen, table, found) if str(fault) not in map(str, faults)]
    return found, faults


def _key_of(config: Config, name: str, written: str, known: set[str]) -> str:
    if name not in known:
        message = f"there is no command {visible(name, 60)}."
        raise config.fault(
            KEY_SECTION, name, message, f"{did_you_mean(name, known)}`phier config --example` lists them."
        )
    try:
        keys = textual_keys(written)
    except ValueError as problem:
        message = f"{name}: {visible(str(problem), 40)} is no key."
        hint = f'{did_you_mean(str(problem), key_names())}Write a character, or a name such as "f5" or "ctrl+t".'
        raise config.fault(KEY_SECTION, name, message, hint) from problem
    if taken := RESERVED & set(keys.split(",")):
        message = f"{name}: {taken.pop()} is a key of the whole program."
        raise config.fault(KEY_SECTION, name, message, "Choose another.")
    return keys


def _clashes(
    config: Config, screen: type[Commanded], table: tuple[Command[object], ...], keymap: Mapping[str, str]
) -> Iterator[BadInput]:
    """Chosen keys that are already those of another command of a screen, or that a dialog's fields would take."""
    at: dict[str, tuple[str, str]] = {}
    for name, keys, about in sorted(_bindings(table), key=lambda one: one[0] in keymap):
        for key in keymap.get(name, keys).split(","):
            if name in keymap and key not in keys.split(",") and issubclass(screen, Dialog) and is_text(key):
                message = (
                    f"{name}: {written_keys(key)[0]} would be typed into the fields of dialogs, which have {name}, too."
                )
                yield config.fault(KEY_SECTION, name, message, "Use a function key, or one with Ctrl or Alt.")
                return
            other, does = at.setdefault(key, (name, about))
            if other != name and name in keymap:
                message = (
                    f"{written_keys(key)[0]} can't be the key of {name}: it is that of {other} ({_filled(does, table)})"
                )
                hint = f'Choose another, or write {other} = "…" as well.'
                yield config.fault(KEY_SECTION, name, message, hint)


def _bindings(table: tuple[Command[object], ...]) -> list[tuple[str, str, str]]:
    """The names, keys and sentences of all commands of a table that act."""
    return [
        (command_id(action, keys), keys, command.help)
        for command in table
        for keys, action in command.keys.items()
        if action
    ]


def _filled(sentence: str, table: tuple[Command[object], ...]) -> str:
    """A sentence of a table with the usual keys."""
    return with_usual_keys(sentence, [usual_keys(table), *(screen.USUAL_KEYS for screen in _tables())])


def _tables() -> dict[type[Commanded], tuple[Command[object], ...]]:
    """The command tables of all screens."""
    for module in pkgutil.iter_modules(explorer.ui.screens.__path__):
        importlib.import_module(f"{explorer.ui.screens.__name__}.{module.name}")
    found: dict[type[Commanded], tuple[Command[object], ...]] = {}
    classes = [Commanded]
    while classes:
        one = classes.pop(0)
        classes += one.__subclasses__()
        if one.COMMAND_TABLE:
            found[one] = one.COMMAND_TABLE
    return dict(sorted(found.items(), key=lambda one: (one[0].__module__, one[0].__name__)))
