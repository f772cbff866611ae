"""The dialog that searches for what to give back: its target or budget, its level, and a text to check it on."""

from __future__ import annotations

from collections.abc import Iterator

from textual import on
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CANCEL, Dialog
from explorer.ui.widgets.plain_text import PlainText
from explorer.words import numbers
from explorer.words.bound_keys import key_of
from probes.schema.errors import BadInput
from probes.schema.repair import RepairLevel
from probes.schema.requests import FindRepair

LEVEL_NAMES: dict[str, RepairLevel] = {"sublayers": "sublayer", "matrices": "matrix", "weights": "weight"}
RETURNED = "the token returns"
"""The target that the field begins with if the models split at a step: the same top token at every step."""
DEFAULT_TARGET = 0.1
"""The KL in nats that it begins with otherwise, unless the KL is lower: below it, two predictions are nearly alike."""
TARGETS = (
    f"{RETURNED}; a KL in nat ({DEFAULT_TARGET}: nearly alike); split: no split up to the first one; 95 %: both models "
    "choose the same token at 95 % of the steps"
)
WARNING = (
    "A repair fitted to a few steps may not hold elsewhere. It is measured again on a second prompt, or else on the "
    "steps after the span."
)


class AskRepair(Dialog[FindRepair]):
    """Asks for the target of a search, and closes with its request."""

    title_text = "What to give back"
    COMMAND_TABLE = (
        Command({"enter": ""}, "⏎", "Searches.", label="searches"),
        Command({"tab": ""}, "Tab", "Goes to the next field.", label="next field"),
        CANCEL,
    )

    def __init__(self, step: int, through: int | None, view: View) -> None:
        super().__init__()
        self._step, self._through = step, through
        records = view.path[step - 1 : through or step]
        found = [one.shared.p.kl for one in records if one.shared is not None]
        self._kl = sum(found) / len(found) if found else None
        self._splits = any(one.agree is False for one in records)

    def body(self) -> Iterator[Widget]:
        where = f"step {self._step}" if self._through is None else f"steps {self._step} to {self._through}"
        mean = "" if self._through is None else "mean "
        kl = "" if self._kl is None else f" Now its {mean}KL is {numbers.significant(self._kl)} nat."
        target, why = proposed_target(self._kl, splits=self._splits)
        yield PlainText(f"The smallest set whose return brings {where} to a target.{kl}{why}")
        yield from _field("target", "target", target, f"{RETURNED}, a KL in nat, split, 95 %; empty with a budget")
        yield PlainText(TARGETS, classes="hint")
        yield from _field("most parameters", "budget", "", "no limit; or 2M, 500k")
        yield from _field("choose among", "level", "sublayers", "sublayers, matrices or weights")
        yield from _field("second prompt", "held-out", "", "the steps after the span")
        yield PlainText("", id="verdict", classes="hint")
        yield PlainText(WARNING, classes="hint")

    @on(Input.Changed)
    def check(self) -> None:
        verdict = self.query_one("#verdict", Static)
        fault = self._request()
        verdict.set_class(isinstance(fault, str), "fault")
        ready = f"Both models can be stepped meanwhile; {key_of('leave')} cancels it and keeps the best set."
        verdict.update(fault if isinstance(fault, str) else with_keys(self, ready))

    @on(Input.Submitted)
    def submit(self) -> None:
        request = self._request()
        if not isinstance(request, str):
            self.dismiss(request)

    def _request(self) -> FindRepair | str:
        """The request, or the fault in a field."""
        values = {field.id: field.value.strip() for field in self.query(Input)}
        return repair_request(
            self._step,
            self._through,
            values.get("target", ""),
            values.get("budget", ""),
            values.get("level", ""),
            values.get("held-out", ""),
        )


def proposed_target(kl: float | None, *, splits: bool) -> tuple[str, str]:
    """The target that the field begins with, and a sentence on why if it is not one of the usual two; `kl` is the mean
    over the steps."""
    if splits:
        return RETURNED, ""
    if kl is None or not 0 <= kl <= DEFAULT_TARGET:
        return str(DEFAULT_TARGET), ""
    if kl == 0:
        return "", " So there is nothing to give back here."
    why = f" That is below {DEFAULT_TARGET}, nearly alike already, so half of it is proposed."
    return numbers.significant(kl / 2, 2), why


def repair_request(
    step: int, through: int | None, target: str, budget: str, level: str, held_out: str
) -> FindRepair | str:
    """A request from the texts of the fields, or a sentence on what is wrong with them."""
    matched = [name for name in LEVEL_NAMES if level and name.startswith(level.lower())]
    if len(matched) != 1:
        return "Choose among sublayers, matrices or weights."
    no_split = target.lower() == "split"
    returned = bool(target) and target.lower() in (RETURNED, *RETURNED.split(), "the token")
    share = 100.0 if returned else _number(target.removesuffix("%")) if target.endswith("%") else None
    kl = None if no_split or share is not None else _number(target)
    most = _parameters(budget)
    if target and not no_split and share is None and kl is None:
        kinds = f"a KL in nat such as {DEFAULT_TARGET}, split (no split), or a share such as 95 % (same token)"
        return f"The target is “{RETURNED}”, {kinds}."
    if budget and most is None:
        return "The budget must be a number of parameters, such as 2M or 500k."
    if not target and not budget:
        return "Give a target, a budget, or both."
    if share is not None and not returned and through is None:
        return f"A share is one of steps, and this is a single step: use “{RETURNED}” or a KL, or mark a span first."
    if kl is not None and kl < 0:
        return f"{target} is not a KL. Give a number of nats, 0 or above."
    agreement = None if share is None else share / 100
    request = FindRepair(step, through, kl, most, LEVEL_NAMES[matched[0]], held_out, agreement, no_split)
    try:
        _ = request.goal
    except BadInput as problem:
        return f"{problem.message} {problem.hint}"
    return request


def _field(label: str, name: str, value: str, placeholder: str) -> Iterator[Widget]:
    with Horizontal(classes="row"):
        yield Label(label, markup=False)
        yield Input(value, placeholder=placeholder, id=name)


def _number(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if found == found and abs(found) != float("inf") else None


def _parameters(text: str) -> int | None:
    """A number of parameters: 500k, 2M, 1500000."""
    scale = {"k": 1e3, "m": 1e6, "b": 1e9}.get(text[-1:].lower(), 0.0)
    found = _number(text[:-1] if scale else text)
    return round(found * (scale or 1.0)) if found is not None else None
