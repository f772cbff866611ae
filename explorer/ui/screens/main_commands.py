"""The commands of the main screen. Each is possible or not by the view alone."""

from __future__ import annotations

from dataclasses import replace

from explorer.state.view import Phase, Under, View
from explorer.ui.commands import COPY, DEFINE, EXPLAIN, FOCUS, HELP, NOTES, PALETTE, QUIT, THEME, ZOOM, Command
from explorer.ui.screens.cursor_page import STEP_OR_NEXT, can_find_next, cursor_commands, models_needed
from explorer.ui.screens.play_commands import PLAY_COMMANDS
from explorer.words.bound_keys import key_of


def has_run(view: View) -> bool:
    return view.header is not None


def has_steps(view: View) -> bool:
    return view.newest > 0


def can_step(view: View) -> bool:
    return view.header is not None and view.work is None


def is_live(view: View) -> bool:
    return view.live and view.header is not None


def has_models(view: View) -> bool:
    """Are the models there and not busy? A recording has none."""
    return view.live and can_step(view)


def has_prompt(view: View) -> bool:
    """Can another prompt be given, or is there one in the recording?"""
    return has_models(view) or (has_run(view) and not view.live)


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


def verdict_label(view: View) -> str:
    """How far the verdict is, while it is not final; of an item of a sweep, that it comes back to the items."""
    if view.under is Under.ITEMS:
        return "items"
    verdict = view.results.present.verdict
    return "verdict" if verdict is None or verdict.final else f"verdict {verdict.done}/{verdict.of}"


def is_busy(view: View) -> bool:
    return view.phase in (Phase.STARTING, Phase.WORKING, Phase.FAILED)


CURSOR_COMMANDS: tuple[Command[View], ...] = cursor_commands(lambda view: view, offered=lambda view: not is_busy(view))
MAIN_COMMANDS: tuple[Command[View], ...] = (
    Command(
        {"space": "run"},
        "space",
        "Runs both models, or pauses them.",
        label=lambda view: "pause" if view.running else "run",
        name="Run: Go or pause",
        when=can_step,
        weight=90,
    ),
    Command(
        {"n": "step"},
        "n",
        STEP_OR_NEXT,
        label=lambda view: "next" if can_find_next(view) else "step",
        name="Run: One step, or the next found",
        when=lambda view: can_step(view) or can_find_next(view),
        weight=80,
    ),
    Command(
        {"u": "until"},
        "u",
        "Runs until a condition is met.",
        label="until",
        name="Run: Until a condition",
        when=can_step,
        weight=50,
    ),
    *CURSOR_COMMANDS,
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses a row of the next-token table.", when=has_steps),
    Command(
        {"enter": "fork"},
        "⏎",
        "Forces the chosen token here and opens a new branch.",
        label="fork",
        name="Branch: Fork here",
        when=can_fork,
        weight=60,
    ),
    Command({"i": "force"}, "i", "Forces a token that you type.", name="Branch: Fork with any token", when=can_fork),
    Command(
        {"asterisk": "mark_token"},
        "*",
        "Watches the token chosen in the table through the whole run, or no longer.",
        name="Watch: The chosen token",
        when=can_fork,
    ),
    Command(
        {"W,shift+w": "watched"},
        "W",
        "Shows the watched tokens over the steps, and names others.",
        label=lambda view: f"{len(view.watch)} watched" if view.watch else "watch",
        name="Watch: Tokens over the steps",
        when=has_run,
        weight=4,
    ),
    *PLAY_COMMANDS,
    Command(
        {"d": "why"},
        "d",
        "Explains the token at the cursor: which layer did it, and what to give back.",
        label="why",
        name="Explain: Why this token",
        when=has_steps,
        weight=77,
    ),
    Command(
        {"j": "verdict"},
        "j",
        "Judges over many items for which tasks this setting is safe.",
        label=verdict_label,
        name="Verdict: Where it is safe",
        when=has_run,
        weight=43,
    ),
    Command(
        {"P,shift+p": "passages"},
        "P",
        "Searches other texts for the passages where the two models differ most.",
        label="passages",
        name="Passages: Where the models differ",
        when=has_run,
        weight=23,
    ),
    Command(
        {"b": "branches"},
        "b",
        "Lists the branches and switches between them.",
        label="branches",
        name="Branch: Switch",
        when=has_run,
        weight=25,
    ),
    Command(
        {"f": "follow"},
        "f",
        "Chooses which text each model reads.",
        label="follow",
        name="Run: Change context",
        when=has_models,
        weight=45,
    ),
    Command(
        {"o": "recordings"},
        "o",
        "Lists recordings to open or compare.",
        label="open",
        name="Recordings: Open",
        weight=30,
    ),
    Command(
        {"S,shift+s": "save"},
        "S",
        "Continues the recording in another file.",
        name="Recordings: Save elsewhere",
        when=is_live,
    ),
    Command(
        {"p": "prompt"},
        "p",
        "Edits the prompt and starts a new run; of a recording, shows it with its tokens.",
        label="prompt",
        name="Run: Edit prompt, or show the recorded one",
        when=has_prompt,
        offered=lambda view: view.live,
        weight=40,
    ),
    Command(
        {"s": "settings"},
        "s",
        "Opens the settings of a run: sampler, temperatures, steps, context.",
        label="settings",
        name="Run: Settings",
        when=has_models,
        weight=35,
    ),
    Command(
        {"x": "prune"},
        "x",
        "Prunes with another setting.",
        label="prune",
        name="Models: Prune",
        when=has_models,
        weight=55,
    ),
    Command(
        {"w": "grid"},
        "w",
        "Layers: shows the pruned model layer by layer (prune, drop, restore), and compares before and after.",
        label="layers",
        name="Models: Prune layer by layer",
        when=is_measured,
        weight=42,
    ),
    Command(
        {"v": "flip"},
        "v",
        "Switches to the previous prune setting, and back.",
        name="Models: Flip settings",
        when=has_models,
    ),
    Command(
        {"k": "keep"},
        "k",
        "Saves the prune setting under a name.",
        name="Models: Save the setting",
        when=is_pruned_here,
    ),
    replace(ZOOM, when=has_run, weight=15),
    Command(
        {"c": "contexts"},
        "c",
        "After the texts diverge: the table on the dense text, or each model on its own.",
        label="contexts",
        name="View: Table's context",
        when=lambda view: view.diverged,
    ),
    Command(
        {"plus,equals_sign": "widen(0.5)"},
        "+",
        "Shows fewer steps in the charts.",
        name="View: Fewer steps",
        when=has_steps,
    ),
    Command(
        {"minus": "widen(2)"},
        "−",
        "Shows more steps in the charts, up to all.",
        name="View: More steps",
        when=has_steps,
    ),
    Command(
        {"l": "scale"},
        "l",
        "Draws divergences on a log scale, or a linear one.",
        name="View: Log or linear",
        when=has_run,
    ),
    replace(EXPLAIN, when=has_run, weight=65),
    replace(DEFINE, when=has_run),
    replace(HELP, weight=70),
    replace(NOTES, when=has_run, weight=8),
    replace(COPY, when=has_run, weight=10),
    replace(THEME, label="theme", weight=5),
    Command({"escape": "back"}, "Esc", "Closes a zoomed panel, cancels the work in progress, or ends a search."),
    Command(
        {"m": "models"},
        "m",
        "Loads the models of a recording and continues from the cursor, or from the last step.",
        label="models",
        name="Models: Load and continue",
        when=can_revive,
        offered=lambda view: view.revivable,
        weight=75,
    ),
    Command(
        {"r": "retry"},
        "r",
        "Tries again to load the models.",
        name="Models: Try again",
        when=lambda view: view.phase is Phase.FAILED,
    ),
    replace(QUIT, weight=12),
    FOCUS,
    PALETTE,
)
NEED_MODELS = (has_models, can_fork, is_live)
"""Conditions of the commands that a recording alone can't do."""


def why_not_here(view: View, command: Command[View]) -> str:
    """Why a command is not possible now; "" if the screen shows it."""
    if not view.live and command.when in NEED_MODELS:
        return models_needed(view)
    if view.phase is Phase.READY and (command.when in (has_steps, can_fork) or command in CURSOR_COMMANDS):
        return f"Nothing is generated yet. {key_of('run')} runs both models, {key_of('step')} measures one step."
    return ""
