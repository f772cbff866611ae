"""The command table of the screen that explains a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.state.view import View
from explorer.state.why_pages import WhyPage
from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.cursor_page import STEP_OR_NEXT, can_find_next, cursor_commands, models_needed
from explorer.ui.screens.main_commands import is_pruned_here
from explorer.words.bound_keys import key_of

if TYPE_CHECKING:
    from explorer.ui.screens.why import WhyScreen


def _enter_label(screen: WhyScreen) -> str:
    from explorer.ui.widgets.why_shown import down

    return "apply" if screen.page is WhyPage.REPAIR else down(screen.look)


def _can_enter(screen: WhyScreen) -> bool:
    if screen.page is WhyPage.REPAIR:
        return _is_repaired(screen) and screen.can_prune
    return screen.page is WhyPage.LAYERS or (screen.page is WhyPage.HEAL and screen.look.goes_on)


def _is_repaired(screen: WhyScreen) -> bool:
    return screen.repair is not None and bool(screen.repair.given_back)


def _offers_enter(screen: WhyScreen) -> bool:
    if screen.page is WhyPage.REPAIR:
        return _is_repaired(screen) and screen.view.live
    return screen.page is WhyPage.HEAL and screen.look.goes_on


def _has_models(screen: WhyScreen) -> bool:
    return screen.can_prune


def _can_step(screen: WhyScreen) -> bool:
    return screen.can_prune or can_find_next(screen.view)


def _can_search(screen: WhyScreen) -> bool:
    return screen.can_prune and _has_steps(screen) and is_pruned_here(screen.view)


def _can_retry(screen: WhyScreen) -> bool:
    return screen.view.live and screen.explaining.failed


def why_not(screen: WhyScreen, command: Command[WhyScreen]) -> str:
    """Why a command is not possible now."""
    view, applies = screen.view, screen.page is WhyPage.REPAIR and screen.repair is not None
    if command.when in (_has_models, _can_step, _can_search, _can_retry) or (command.when is _can_enter and applies):
        if not view.live:
            return models_needed(view)
        if view.work is not None:
            return "The models are busy."
    if not _has_steps(screen):
        return "Nothing is generated yet."
    if command.when is _can_search:
        from explorer.ui.widgets.why_shown import pruned_elsewhere

        return pruned_elsewhere(view)
    if command.when is _can_retry:
        return "Nothing has failed here."
    if command.when is not _can_enter:
        return ""
    match screen.page:
        case WhyPage.REPAIR if not applies:
            return f"There is nothing to apply yet. {key_of('repair')} searches for what to give back."
        case WhyPage.REPAIR:
            return "There is nothing to apply: the search gives nothing back."
        case WhyPage.HEAL if screen.look.swaps is not None:
            return f"The {_enter_label(screen)} were not recorded. {models_needed(view)}"
        case WhyPage.HEAL:
            return "The heals of the sublayers are not there yet."
    return f"{key_of('enter')} has no effect on the page “{screen.page.value}”."


def _view(screen: WhyScreen) -> View:
    return screen.view


def _has_steps(screen: WhyScreen) -> bool:
    return screen.view.newest > 0


WHY_COMMANDS: tuple[Command[WhyScreen], ...] = (
    Command(
        {str(place): f"page({place})" for place in range(1, len(WhyPage) + 1)},
        f"1–{len(WhyPage)}",
        "Shows a page: heal and damage, layers, compute or memory, the split, what to give back, the noise floor.",
        label="pages",
        weight=90,
    ),
    *cursor_commands(_view),
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses a sublayer, or scrolls.", label="row", weight=70),
    Command(
        {"enter": "enter"},
        "⏎",
        "Shows the chosen sublayer's matrices, then its heads. On the page “give back” it applies what was found.",
        label=_enter_label,
        name="Explain: One level down, or apply",
        when=_can_enter,
        offered=_offers_enter,
        weight=65,
    ),
    Command(
        {"r": "repair"},
        "r",
        "Searches for what to give back: the smallest set that brings the KL down.",
        label="repair",
        name="Explain: What to give back",
        when=_can_search,
        offered=lambda screen: screen.view.live and is_pruned_here(screen.view),
        weight=60,
    ),
    Command(
        {"c": "space"},
        "c",
        "Colours the strips by the next figure: KL, 1 − cos h, 1 − cos z.",
        label="colour",
        name="Strips: Next figure",
        weight=50,
    ),
    Command(
        {"a": "of"},
        "a",
        "Switches the strips between accumulated and same-input deviation.",
        label="same input",
        name="Strips: Accumulated or same input",
        weight=45,
    ),
    Command(
        {"left_square_bracket": "mark(True)", "right_square_bracket": "mark(False)"},
        "[ ]",
        "Marks the first and the last step of a span to explain together; the same key at the same step unmarks it.",
        label="span",
        when=_has_steps,
        weight=40,
    ),
    Command(
        {"space": "run"},
        "space",
        "Runs both models, or pauses them.",
        name="Run: Go or pause",
        when=_has_models,
    ),
    Command({"n": "step"}, "n", STEP_OR_NEXT, name="Run: One step, or the next found", when=_can_step),
    Command(
        {"e": "retry"},
        "e",
        "Tries again to compute what failed.",
        name="Explain: Try again",
        when=_can_retry,
    ),
    Command(
        {"m": "models"},
        "m",
        "Loads the models of a recording and continues from the cursor.",
        label="models",
        name="Models: Load and continue",
        when=lambda screen: screen.view.revivable,
        offered=lambda screen: screen.view.revivable,
        weight=75,
    ),
    *page_commands(
        "Explain",
        "Cancels the search, goes one level up, or goes back. What was computed is kept.",
        explain=30,
        back=55,
        label=lambda screen: "cancel search" if screen.explaining.searching else "back",
    ),
)
