"""Everything a person can do on the main screen: one list behind the keys, the last line, the palette and the help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from explorer.state.view import Phase, View


def always(_: View) -> bool:
    return True


def has_run(view: View) -> bool:
    return view.header is not None


def has_steps(view: View) -> bool:
    return view.newest > 0


def can_step(view: View) -> bool:
    return view.header is not None and view.work is None


def is_live(view: View) -> bool:
    return view.live and view.header is not None


def has_models(view: View) -> bool:
    """What needs models: not in a recording, and not while they are busy."""
    return view.live and can_step(view)


def is_pruned_here(view: View) -> bool:
    report = view.header.prune if view.header else None
    return report is not None and bool(report.setting)


def is_measured(view: View) -> bool:
    """Is there anything to show layer by layer?"""
    report = view.header.prune if view.header else None
    return report is not None and bool(report.setting or report.matrices or report.dropped)


def can_fork(view: View) -> bool:
    return has_models(view) and view.record is not None


def can_revive(view: View) -> bool:
    return view.revivable and can_step(view)


def can_play(view: View) -> bool:
    return view.playback is not None and can_step(view)


@dataclass(frozen=True, slots=True)
class Command:
    """One thing to do."""

    action: str
    keys: str
    """Textual's key names, comma-separated."""
    shown: str
    """The key as people know it."""
    label: str
    """One or two words, for the last line."""
    name: str
    """"Area: Verb", for the palette."""
    help: str
    """A sentence."""
    when: Callable[[View], bool] = always
    weight: int = 0
    """Above 0 it stands in the last line, the heaviest first."""


COMMANDS = (
    Command("run", "space", "space", "run", "Run: Go or pause", "Runs both models, or pauses them.", can_step, 90),
    Command("step", "n", "n", "step", "Run: One step", "Measures one step.", can_step, 80),
    Command("until", "u", "u", "until", "Run: Until a condition", "Runs until a condition is met.", can_step, 50),
    Command("move(-1)", "left", "←", "", "", "Moves the cursor one step back.", has_steps),
    Command("move(1)", "right", "→", "", "", "Moves the cursor one step on.", has_steps),
    Command("move(-10)", "pageup", "PgUp", "", "", "Moves the cursor ten steps back.", has_steps),
    Command("move(10)", "pagedown", "PgDn", "", "", "Moves the cursor ten steps on.", has_steps),
    Command("first", "home", "Home", "", "Cursor: First step", "Moves the cursor to the first step.", has_steps),
    Command("newest", "end", "End", "", "Cursor: Follow the newest", "Follows the newest step again.", has_steps),
    Command("split", "g", "g", "split", "Cursor: First split", "Jumps to the first differing choice.", has_steps, 20),
    Command(
        "highest", "G,shift+g", "G", "worst", "Cursor: Highest KL", "Jumps to the step with the highest KL.", has_steps
    ),
    Command("row(-1)", "up", "↑", "", "", "Chooses the row above in the next-token table.", has_steps),
    Command("row(1)", "down", "↓", "", "", "Chooses the row below in the next-token table.", has_steps),
    Command(
        "fork",
        "enter",
        "⏎",
        "fork",
        "Branch: Fork here",
        "Forces the chosen token here: a new branch.",
        can_fork,
        60,
    ),
    Command("force", "i", "i", "", "Branch: Fork with any token", "Forces a token that is typed here.", can_fork),
    Command("pace(False)", "left_square_bracket", "[", "", "Play: Slower", "Plays a recording slower.", can_play),
    Command("pace(True)", "right_square_bracket", "]", "", "Play: Faster", "Plays a recording faster.", can_play),
    Command("loop", "a", "a", "", "Play: Over and over", "Plays a recording over and over, or once.", can_play),
    Command("rest", "e", "e", "", "Play: To the end", "Shows all that is left of a recording at once.", can_play),
    Command("branches", "b", "b", "branches", "Branch: Switch", "Lists the branches and switches.", has_run, 25),
    Command("follow", "f", "f", "follow", "Run: Change context", "Chooses which text each model sees.", has_models, 45),
    Command("recordings", "o", "o", "open", "Recordings: Open", "Lists recordings to open or compare.", always, 30),
    Command(
        "save", "S,shift+s", "S", "", "Recordings: Save elsewhere", "Records into another file from now on.", is_live
    ),
    Command("prompt", "p", "p", "prompt", "Run: Edit prompt", "Edits the prompt and starts again.", has_models, 40),
    Command(
        "settings", "s", "s", "settings", "Run: Settings", "Sampler, temperatures, steps, context.", has_models, 35
    ),
    Command("prune", "x", "x", "prune", "Models: Prune anew", "Makes the pruned model anew.", has_models, 55),
    Command(
        "grid",
        "w",
        "w",
        "layers",
        "Models: Prune layer by layer",
        "The pruned model layer by layer, to prune, drop and restore.",
        is_measured,
        42,
    ),
    Command("flip", "v", "v", "", "Models: Flip settings", "Turns to the prune setting before, and back.", has_models),
    Command("keep", "k", "k", "", "Models: Keep the setting", "Keeps the prune setting under a name.", is_pruned_here),
    Command(
        "zoom", "z", "z", "zoom", "View: Zoom the panel", "Opens the panel under focus; Escape closes it.", has_run, 15
    ),
    Command(
        "contexts",
        "c",
        "c",
        "contexts",
        "View: Table's context",
        "In a parted run: the table on the dense text, or each model on its own.",
        lambda view: view.parted,
    ),
    Command(
        "widen(0.5)", "plus,equals_sign", "+", "", "View: Fewer steps", "Shows fewer steps in the charts.", has_steps
    ),
    Command("widen(2)", "minus", "−", "", "View: More steps", "Shows more steps in the charts, up to all.", has_steps),
    Command(
        "scale", "l", "l", "log", "View: Log or linear", "Draws divergences by powers of ten, or from zero.", has_run
    ),
    Command(
        "explain", "f1", "F1", "explain", "Help: Explain the panel", "What the panel under focus shows.", has_run, 65
    ),
    Command("keys", "question_mark", "?", "keys", "Help: All keys", "Lists every key.", always, 70),
    Command(
        "notes",
        "exclamation_mark",
        "!",
        "notes",
        "Help: Notes and warnings",
        "Shows all notes and warnings of this run again.",
        has_run,
        8,
    ),
    Command("copy", "y", "y", "copy", "View: Copy", "Copies the panel under focus as text.", has_run, 10),
    Command("theme", "t", "t", "theme", "View: Next theme", "Dark, light, or the terminal's own colours.", always, 5),
    Command("back", "escape", "Esc", "", "", "Closes a zoomed panel, or cancels the work under way."),
    Command(
        "models",
        "m",
        "m",
        "models",
        "Models: Load and go on",
        "Loads the models of a recording and goes on from the cursor.",
        can_revive,
        75,
    ),
    Command(
        "retry", "r", "r", "again", "Models: Try again", "Tries to load once more.", lambda v: v.phase is Phase.FAILED
    ),
    Command("quit", "q", "q", "quit", "Explorer: Quit", "Leaves; what is recorded stays.", always, 12),
)
NEED_MODELS = (has_models, can_fork, is_live)
BY_ACTION = {command.action.partition("(")[0]: command for command in COMMANDS}


def available(action: str, view: View) -> bool:
    """Is it possible now? An action that is not listed is not restricted."""
    command = BY_ACTION.get(action)
    return command is None or command.when(view)
