"""A screen's command table: the one list behind its keys, its key line, the palette and its `?`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from explorer.ui.key_names import command_id, drawn_key, in_glyphs
from explorer.ui.widgets.key_line import KeyHint

State = TypeVar("State")


def always(_: object) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Command(Generic[State]):
    """One thing to do on a screen, by one key or by a few that belong together."""

    keys: Mapping[str, str]
    """The action of each key. Keys have Textual's names; two names of one key are separated by a comma. The action is
    "" if the field under focus, or Textual itself, acts on the key."""
    shown: str
    """The keys as people know them."""
    help: str
    """A sentence, for `?` and the palette."""
    label: str | Callable[[State], str] = ""
    """One or two words for the key line; a command without them is left out of the key line."""
    name: str = ""
    """"Area: Verb" for the palette; a command without it is left out of the palette."""
    when: Callable[[State], bool] = always
    """Is it possible now? If not, the key line strikes it out, `?` dims it, and the palette leaves it out."""
    offered: Callable[[State], bool] = always
    """Does it belong in the key line now, possible or not?"""
    weight: int = 0
    """The heaviest are first in the key line."""
    priority: bool = False
    """Does the key act even in a field that would take it as text?"""

    @property
    def action(self) -> str:
        """The action, if the command has exactly one; else ""."""
        actions = set(self.keys.values())
        return actions.pop() if len(actions) == 1 else ""

    @property
    def bindings(self) -> list[Binding]:
        """For Textual."""
        return [
            Binding(key, action, self.help, show=False, priority=self.priority, id=command_id(action, key))
            for key, action in self.keys.items()
            if action
        ]

    def keys_in(self, keymap: Mapping[str, str]) -> dict[str, str]:
        """The action of each key, with the keys that a person has chosen."""
        return {
            keymap.get(command_id(action, keys), keys) if action else keys: action for keys, action in self.keys.items()
        }

    def shown_in(self, keymap: Mapping[str, str]) -> str:
        """The keys as people know them, with those that a person has chosen."""
        keys = self.keys_in(keymap) if keymap else self.keys
        return self.shown if keys is self.keys or keys == self.keys else " ".join(map(drawn_key, keys))


def usual_keys(table: tuple[Command[Any], ...]) -> dict[str, str]:
    """The usual keys of a table's commands by their names; of a command with several keys, the first."""
    found: dict[str, str] = {}
    for command in table:
        for keys, action in command.keys.items():
            if action:
                found.setdefault(command_id(action, keys), keys)
    return found


class Commanded:
    """A screen with a command table. It is mixed in before Textual's own class, which reads the bindings it makes."""

    COMMAND_TABLE: ClassVar[tuple[Command[Any], ...]] = ()
    """Every command of the screen, in the order of its `?`."""
    _in_key_line: ClassVar[tuple[Command[Any], ...]] = ()
    """Those that have a label, the heaviest first."""
    USUAL_KEYS: ClassVar[Mapping[str, str]] = {}
    """The keys of these commands by their names, unless a person has chosen others."""

    def __init_subclass__(cls, **options: Any) -> None:
        if "COMMAND_TABLE" in cls.__dict__:
            bindings: list[BindingType] = [one for command in cls.COMMAND_TABLE for one in command.bindings]
            cls.BINDINGS = bindings  # type: ignore[attr-defined]  # of Textual's class, which this one is mixed into
            labelled = [command for command in cls.COMMAND_TABLE if command.label]
            cls._in_key_line = tuple(sorted(labelled, key=lambda command: -command.weight))
            cls.USUAL_KEYS = usual_keys(cls.COMMAND_TABLE)
        super().__init_subclass__(**options)

    def shown_key(self, command: Command[Any]) -> str:
        """The keys of a command on this person's screen."""
        app = self.app  # type: ignore[attr-defined]  # of Textual's class
        return in_glyphs(command.shown_in(app.keymap), app.look.glyphs)

    @property
    def command_state(self) -> object:
        """The value by which commands decide if they are possible: the screen itself, unless it shows a view."""
        return self

    def key_hints(self) -> list[KeyHint]:
        """The key line's entries."""
        state = self.command_state
        return [
            KeyHint(self.shown_key(command), label, command.action, command.when(state))
            for command in self._in_key_line
            if (label := command.label(state) if callable(command.label) else command.label) and command.offered(state)
        ]

    def possible_commands(self) -> list[Command[Any]]:
        """The palette's entries."""
        return [one for one in self.COMMAND_TABLE if one.name and one.action and one.when(self.command_state)]

    def command_by_key(self, key: str) -> Command[Any] | None:
        """The command of a key, by Textual's name for it."""
        keymap: Mapping[str, str] = self.app.keymap  # type: ignore[attr-defined]  # of Textual's class
        return next((one for one in self.COMMAND_TABLE if key in ",".join(one.keys_in(keymap)).split(",")), None)

    def usual_command(self, key: str) -> Command[Any] | None:
        """The command that has this key unless a person has chosen another one."""
        return next((one for one in self.COMMAND_TABLE if key in ",".join(one.keys).split(",")), None)

    def command_by_action(self, action: str) -> Command[Any] | None:
        """The command of an action, which is named without its parameters."""
        return next(
            (one for one in self.COMMAND_TABLE if action in (of.partition("(")[0] for of in one.keys.values())), None
        )

    def action_keys(self) -> None:
        """Lists every command of this screen."""
        from explorer.ui.screens.help import KeysDialog

        assert isinstance(self, Screen)
        state = self.command_state
        area, keys = "", []
        for one in self.COMMAND_TABLE:  # a command without a name belongs to the one before it
            area = one.name.partition(":")[0] or area
            keys.append((self.shown_key(one), one.help, one.when(state), area))
        guide = getattr(self.app, "guide", None)
        on_tour = guide is not None and guide.on_tour
        tour = [
            (self.shown_key(one), one.help, on_tour or one is TOUR_COMMANDS[0], "Tour")
            for one in TOUR_COMMANDS
            if guide is not None
        ]
        self.app.push_screen(KeysDialog([*tour, *keys] if on_tour else [*keys, *tour]))


# Commands of several screens.

TOUR_COMMANDS: tuple[Command[Any], ...] = (
    Command(
        {"greater_than_sign": "tour_on"},
        ">",
        "Tour: does the key of the stop; off the tour, begins it on this run or takes it up again.",
    ),
    Command({"less_than_sign": "tour_back"}, "<", "Tour: tells the stop before again."),
    Command({"Q,shift+q": "tour_end"}, "Q", "Tour: ends it, and takes its strip away."),
)
"""The commands of a tour, which is over every full screen."""

HELP: Command[Any] = Command({"question_mark": "keys"}, "?", "Lists every key.", label="keys", name="Help: All keys")
EXPLAIN: Command[Any] = Command(
    {"f1": "explain"}, "F1", "Explains the panel under focus.", label="explain", name="Help: Explain the panel"
)
DEFINE: Command[Any] = Command(
    {"D,shift+d": "define"}, "D", "Defines every figure, those of the panel first.", name="Help: Define a figure"
)
NOTES: Command[Any] = Command(
    {"exclamation_mark": "notes"},
    "!",
    "Shows all notes and warnings of this run again.",
    label="notes",
    name="Help: Notes and warnings",
)
ZOOM: Command[Any] = Command(
    {"z": "zoom"}, "z", "Zooms the panel under focus, or closes the zoom.", label="zoom", name="View: Zoom the panel"
)
COPY: Command[Any] = Command(
    {"y": "copy"},
    "y",
    "Copies: panel, token, row, table, series, picture, command, Python.",
    label="copy",
    name="View: Copy and cite",
)
THEME: Command[Any] = Command(
    {"t": "app.next_theme"},
    "t",
    "Changes the colours: dark, light, high contrast, the terminal's own.",
    name="View: Next theme",
)
QUIT: Command[Any] = Command(
    {"q": "app.quit"}, "q", "Quits. Recorded steps are kept.", label="quit", name="Explorer: Quit"
)
FOCUS: Command[Any] = Command({"tab": ""}, "Tab", "Moves the focus to the next panel.")
PALETTE: Command[Any] = Command({"ctrl+p": ""}, "Ctrl+P", "Finds a command by name.")


def page_commands(
    area: str, leave: str, *, explain: int = 45, back: int = 60, label: str | Callable[[Any], str] = "back"
) -> tuple[Command[Any], ...]:
    """The commands that every full screen with panels ends with; `leave` says what Esc does, `label` in a word."""
    return (
        ZOOM,
        COPY,
        replace(EXPLAIN, weight=explain),
        DEFINE,
        THEME,
        Command({"escape": "leave"}, "Esc", leave, label=label, name=f"{area}: Back", weight=back),
        replace(HELP, weight=explain + 5),
        QUIT,
        FOCUS,
        PALETTE,
    )
