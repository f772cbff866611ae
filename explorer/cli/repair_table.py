"""The output of `phier repair`: what is given back and what it gains, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from explorer.cli.live_table import padded
from explorer.words.culprits import ONLY_DENSE
from probes.schema.header import RunHeader
from probes.schema.repair import Gain, GivenBack, Repair


def repaired_object(found: Repair, steps: range, header: RunHeader) -> dict[str, Any]:
    """For `phier repair --json`."""
    first, last = steps[0], steps[-1]
    made: dict[str, Any] = {"at": first} if first == last else {"steps": [first, last]}
    return {
        **made,
        **asdict(found),
        "models": {"dense": asdict(header.dense), "pruned": asdict(header.pruned)},
        "prune": asdict(header.prune) if header.prune else None,
        "settings": asdict(header.settings),
        "versions": header.versions,
        "warnings": header.every_warning,
        "notes": (*header.every_note, *found.notes),
    }


def print_repaired(found: Repair, steps: range, header: RunHeader, console: Console) -> None:
    """Each thing that is given back, with the KL after it; then the setting and its gain."""
    first, last = steps[0], steps[-1]
    console.print(Text.assemble((header.dense.name, "bold blue"), "  ⇄  ", (header.title, "bold dark_orange")))
    where = f"Step {first}" if first == last else f"Steps {first} to {last}"
    _line(console, f"{where} · {_goal(found)}\n")
    top = "top token" if first == last else "same top"
    _line(console, f"  {'given back':<24} {'KL after':>9} {top:>10} {'parameters':>14}", "bold")
    for one in found.given_back:
        same = _top_after(one, single=first == last)
        _line(console, f"  {_name(one):<24} {padded(one.kl_after, '9.4g')} {same:>10} {one.parameters:>14,}")
    share = found.parameters / found.of if found.of else 0.0
    _line(console, f"  {'in all':<24} {'':>20} {found.parameters:>14,} of {found.of:,} pruned ({share:.2%})\n")
    rows = [("the steps", found.span)] + ([(found.held_out_text, found.held_out)] if found.held_out else [])
    _line(console, f"  {'mean KL':>20}   {'same top token':>16}", "bold")
    for name, figures in rows:
        _line(console, f"  {_gain(figures)}   {name}")
    if found.held_out is None:
        _line(console, "  The text ends with these steps, so the repair is measured on nothing else.")
    elif not found.held_out.kl_after < found.held_out.kl_before:
        _line(console, "  It does not hold on the held-out text: fit it to a longer span.", "bold")
    removed = f", {found.not_needed} of them taken out again" if found.not_needed else ""
    chosen = len(found.given_back) + found.not_needed
    _line(console, f"\n  {found.tried} sets measured; {chosen} chosen{removed}.")
    if not found.reached:
        _line(console, "  The target is not reached: this is the lowest KL that was found.", "bold")
    if found.only_dense:
        _line(console, f"  {ONLY_DENSE}", "bold")
    _line(console, "\nThe setting:")
    _line(console, str(found.setting), "bold")


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)


def _goal(found: Repair) -> str:
    goals = []
    if found.target_kl is not None:
        goals.append(f"mean KL at most {found.target_kl:g}")
    if found.target_agreement is not None:
        goals.append(f"the same top token at {found.target_agreement:.0%} of the steps")
    if found.target_no_split:
        goals.append("no split")
    if found.budget is not None:
        within = f"at most {found.budget:,} parameters"
        goals.append(within if goals else f"the lowest KL with {within}")
    return ", ".join(goals)


def _name(one: GivenBack) -> str:
    if one.layer is None:
        return "single weights"
    return f"{one.sublayer} {one.layer}" + (f" {one.matrix}" if one.matrix else "")


def _top_after(one: GivenBack, *, single: bool) -> str:
    """Does the dense model's token return with this one given back, or at which share of the steps?"""
    if one.agree_after is None:
        return "-"
    if single:
        return "returns" if one.agree_after == 1 else "differs"
    return f"{one.agree_after:.0%}"


def _gain(figures: Gain) -> str:
    return (
        f"{padded(figures.kl_before, '9.4g')} →{padded(figures.kl_after, '9.4g')}   "
        f"{figures.agree_before:>7.0%} →{figures.agree_after:>7.0%}"
    )
