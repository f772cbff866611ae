"""Chooses what the sheet of the screen that explains a token shows: a finding, or why it is not there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from explorer.state.explain_requests import ExplainRequests, Wanted, fork_of
from explorer.state.heals import heal_rows
from explorer.state.view import View
from explorer.state.why_pages import WhyLook, WhyPage
from explorer.ui.widgets.why_heals import heal_note, heal_table, layer_table
from explorer.ui.widgets.why_pages import floor_page, memory_page, repair_page, sentence_page, split_page
from explorer.ui.widgets.why_sheet import Drawer, SheetPage
from explorer.words.bound_keys import key_of
from probes.schema.counting import number_of
from probes.schema.errors import FailureKind
from probes.schema.events import Failed, WorkProgressed
from probes.schema.explanation import Swaps
from probes.schema.part import Part

WHAT = {
    "layers": "The layers of this step",
    "swaps": "Heal and damage",
    "quadrants": "Compute or memory",
    "split": "The anatomy of this step",
    "fork": "The fork verdict",
    "noise_floor": "The noise floor",
    "repair": "A repair",
}
Keyed = Callable[[str], str]
NO_REPAIR = (
    "The smallest set of sublayers, matrices or weights that brings the KL of this step or of the marked span down.",
    f"{key_of('repair')} asks for a target or a budget and searches.",
)
NO_MORE_REPAIR = f"{key_of('repair')} searches for more to give back to the setting as it is now."


def sheet_page(
    page: WhyPage,
    look: WhyLook,
    explaining: ExplainRequests,
    refused: Failed | None,
    keyed: Keyed,
    change: str = "",
    held: Sequence[Part] = (),
) -> SheetPage:
    """The page with what is known of it. `keyed` fills the keys into a sentence; `change` says what the last change of
    the setting did; `held` is the order that the rows keep while heals arrive."""
    view = look.view
    title, note = title_of(page, look), ""
    drawer: Drawer | None = None
    key: tuple[object, ...] = (page, view.run, view.generation, view.found, look.level, look.inside, refused)
    match page:
        case WhyPage.HEAL:
            event = look.swaps_event
            if event is not None and isinstance(event.found, Swaps) and heal_rows(event.found, look.inside):
                held = () if event.final else held
                drawer = partial(heal_table, event.found, look.inside, held, look.splits)
                key = (*key, held)
                deeper = f"{key_of('enter')} {down(look)}" if look.goes_on else ""
                note = heal_note(event.found, final=event.final) if look.inside is None else deeper
        case WhyPage.LAYERS:
            if look.layers is not None:
                drawer, note = partial(layer_table, look.layers), "┆ the lenses part for good"
        case WhyPage.MEMORY:
            if look.quadrants is not None:
                drawer = partial(memory_page, look.quadrants)
        case WhyPage.SPLIT:
            if look.split is not None:
                forked = look.fork or keyed(missing("fork", look, explaining.refused(fork_of(look.view))))
                drawer = partial(split_page, look.split, forked)
                key = (*key, forked)
        case WhyPage.FLOOR:
            if look.floor is not None:
                drawer = partial(floor_page, look.floor)
        case WhyPage.REPAIR:
            found, final = look.repair(explaining.asked_repair), look.repair_is_final(explaining.asked_repair)
            said = tuple(map(keyed, repair_words(look, explaining, change)))
            drawer = partial(repair_page, found, said, final)
            note = f"{key_of('enter')} applies it" if found is not None and found.given_back and view.live else ""
            key = (*key, said)
    if drawer is None:
        drawer = partial(sentence_page, (keyed(missing(page.kind or "", look, refused)),))
    return SheetPage(title, note, (*key, view.cursor, view.span), drawer)


def title_of(page: WhyPage, look: WhyLook) -> str:
    """The frame's title, which begins with one word for the page."""
    first, through = look.span
    where = {
        "span": f" · steps {first}–{through}" if through is not None else f" · step {first}",
        "step": f" · step {look.view.cursor}",
        "run": "",
    }
    if page is WhyPage.HEAL and look.inside is not None:
        pieces = "matrices" if look.level == "matrix" else "heads and key/value groups"
        return f"{look.inside}: its {pieces}{where['span']}"
    words, of = _TITLES[page]
    return f"{words}{where[of]}"


_TITLES = {
    WhyPage.HEAL: ("heal and damage", "span"),
    WhyPage.LAYERS: ("layers", "step"),
    WhyPage.MEMORY: ("memory or compute", "step"),
    WhyPage.SPLIT: ("split", "step"),
    WhyPage.REPAIR: ("give back", "span"),
    WhyPage.FLOOR: ("noise floor of this pair", "run"),
}


def down(look: WhyLook) -> str:
    """The label of Enter on the page of heals."""
    return {"sublayer": "sublayers", "matrix": "matrices", "head": "heads"}[look.next_level]


def missing(kind: str, look: WhyLook, refused: Failed | None) -> str:
    """The sentence that says why a finding is missing."""
    what = WHAT.get(kind, "This")
    view = look.view
    if not view.cursor:
        return f"Nothing is generated yet. {key_of('run')} runs both models, {key_of('step')} measures one step."
    if refused is not None:
        return f"{refused.title}. {refused.message} {refused.hint}".strip()
    if not view.live:
        verb, it = ("were", "them") if kind in ("layers", "swaps") else ("was", "it")
        more = f"; {key_of('models')} loads the models, which compute {it}" if view.revivable else ""
        return f"{what} {verb} not recorded{more}."
    if view.work is not None:
        is_ = "are" if kind in ("layers", "swaps") else "is"
        return f"The models are busy: {view.work.progress.task}. {what} {is_} computed after that."
    if view.running and view.following:
        return f"{what}: computed when the run is paused, or when you look back at a step."
    return f"{what}: computing …"


def computing(thing: Wanted) -> str:
    """What is being computed: "Computing heal and damage"."""
    if thing.near is not None:
        return f"Computing the layers of steps {thing.step} to {thing.through}"
    what = WHAT.get(thing.kind, "this")
    return f"Computing {what[:1].lower()}{what[1:]}"


def repair_words(look: WhyLook, explaining: ExplainRequests, change: str = "") -> tuple[str, ...]:
    """The sentences above a repair: what the last change of the setting did, and how far a search is, why it failed, or
    how to begin one."""
    before = (change,) if change else ()
    answer = explaining.repair_answer
    best = not look.repair_is_final(explaining.asked_repair)
    if isinstance(answer, Failed) and answer.kind is FailureKind.CANCELLED:
        kept = "" if best else " No set that lowers the KL was found."
        again = "with the same target and level goes on where it stopped."
        return (*before, f"The search was cancelled.{kept} {key_of('repair')} {again}")
    if isinstance(answer, Failed):
        return (*before, f"{answer.title}. {answer.message} {answer.hint}".strip())
    if explaining.searching:
        tried = "Searching"
        if isinstance(answer, WorkProgressed) and answer.done is not None:
            tried = f"Searching: {number_of(round(answer.done), 'set')} measured so far"
        below = "The best one is below" if best else "None of them lowers the KL yet"
        return (*before, f"{tried}. {below}. {key_of('leave')} cancels, and keeps the best one.")
    if look.repair(explaining.asked_repair) is not None:
        return before
    if look.view.live and (why := pruned_elsewhere(look.view)):
        return (*before, why)
    if not look.view.live:
        return (*before, missing("repair", look, None))
    if not change:
        return NO_REPAIR
    return before if look.view.running or look.view.work is not None else (*before, NO_MORE_REPAIR)


def pruned_elsewhere(view: View) -> str:
    """Why nothing can be given back to a second model; "" if it was pruned here."""
    header = view.header
    if header is None or (header.prune is not None and header.prune.setting):
        return ""
    return (
        f"{header.pruned.name} was not pruned here, so no setting can give anything back to it. "
        f"{key_of('page-1')} shows what heals it."
    )
