"""The command table of the prune screen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from explorer.ui.commands import COPY, DEFINE, EXPLAIN, FOCUS, HELP, NOTES, PALETTE, QUIT, THEME, ZOOM, Command
from explorer.words.bound_keys import key_of

if TYPE_CHECKING:
    from explorer.ui.screens.prunegrid import PruneGrid

_FURTHER = ("move-pageup", "move-pagedown", "move-home", "move-end")
GRID_COMMANDS: tuple[Command[PruneGrid], ...] = (
    Command(
        {
            "up": "move(-1, 0)",
            "down": "move(1, 0)",
            "left": "move(0, -1)",
            "right": "move(0, 1)",
            "pageup": "move(-10, 0)",
            "pagedown": "move(10, 0)",
            "home": "move(-1000, 0)",
            "end": "move(1000, 0)",
        },
        "← → ↑ ↓",
        f"Moves the cursor; {', '.join(map(key_of, _FURTHER))} move it further. A column is a sublayer, or one "
        "of its matrices.",
    ),
    Command({"r": "stretch"}, "r", "Begins a range at the cursor, or ends it.", label="range", name="Choose: Range"),
    Command({"a": "column"}, "a", "Selects every layer of the column.", label="all layers", name="Choose: All layers"),
    Command(
        {"space": "paint"},
        "space",
        "Gives the selection the method and amount on the right.",
        label="paint",
        name="Plan: Paint",
        when=lambda screen: screen.made_here,
        weight=9,
    ),
    Command(
        {"d": "drop"},
        "d",
        "Drops the selected sublayers.",
        label="drop",
        name="Plan: Drop",
        when=lambda screen: screen.made_here,
        weight=8,
    ),
    Command(
        {"0": "restore"},
        "0",
        "Restores the dense weights of the selection.",
        label="restore",
        name="Plan: Restore",
        when=lambda screen: screen.made_here,
        weight=7,
    ),
    Command(
        {
            **{str(digit): f"amount({digit})" for digit in range(1, 10)},
            "plus,equals_sign": "nudge(True)",
            "minus": "nudge(False)",
        },
        "1–9 + −",
        "Sets the amount in tenths, or 0.05 more or less. The slider can be clicked.",
        label="amount",
        weight=5,
    ),
    Command(
        {"p": "pattern"},
        "p",
        "Uses an N:M pattern in place of a ratio; each press takes the next one.",
        label="N:M",
        name="Brush: Next pattern",
        weight=1,
    ),
    Command({"m": "method"}, "m", "Takes the next method.", label="method", name="Brush: Next method", weight=4),
    Command(
        {"enter": "apply"},
        "⏎",
        "Applies the changes: the same context is measured again.",
        label="apply",
        name="Plan: Apply",
        when=lambda screen: screen.changed and screen.ready,
        weight=6,
    ),
    Command(
        {"h": "heal"},
        "h",
        "Colours the grid by heal at the cursor's step, or by what is removed.",
        label=lambda screen: "removed" if screen.healing else "heal",
        name="View: Heal",
        weight=2,
    ),
    Command(
        {"u": "undo"},
        "u",
        "Goes back to the previous setting.",
        label="undo",
        name="Settings: Undo",
        when=lambda screen: screen.ready and screen.tried.place > 0,
    ),
    Command(
        {"U,shift+u": "redo"},
        "U",
        "Returns to the setting that was undone.",
        label="redo",
        name="Settings: Redo",
        when=lambda screen: screen.ready and screen.tried.place + 1 < len(screen.tried.settings),
    ),
    Command(
        {"v": "flip"},
        "v",
        "Switches between the last two settings.",
        label="flip",
        name="Settings: Flip",
        when=lambda screen: screen.ready and len(screen.tried.settings) > 1,
    ),
    Command(
        {"k": "keep"},
        "k",
        f"Saves the setting under a name; {key_of('prune')} on the main screen lists saved settings.",
        label="save",
        name="Settings: Save under a name",
        when=lambda screen: screen.made_here,
    ),
    Command(
        {"backspace": "revert"},
        "⌫",
        "Reverts unapplied changes.",
        label="revert",
        name="Plan: Revert",
        when=lambda screen: screen.changed,
        offered=lambda screen: screen.changed,
    ),
    ZOOM,
    COPY,
    EXPLAIN,
    DEFINE,
    NOTES,
    THEME,
    Command(
        {"escape": "leave"},
        "Esc",
        "Goes back, or cancels the work in progress. Unapplied changes are kept.",
        label="back",
        name="Plan: Back",
        weight=3,
    ),
    replace(HELP, weight=2),
    QUIT,
    FOCUS,
    PALETTE,
)
