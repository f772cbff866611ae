"""Reads the options that several commands have: the settings of a run, and the two models."""

from __future__ import annotations

import sys

from explorer.cli.options import Typed, option_names
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE, prompt_for
from probes.schema.errors import BadInput
from probes.schema.prune_setting import Method, parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.schema.watch import parse_watch


def run_settings(typed: Typed) -> RunSettings:
    """The settings of a run. Raises `BadInput` for options that exclude each other."""
    prompt, text, follow = typed.get("prompt"), typed.get("text", ""), Follow(typed.get("follow", Follow.DENSE))
    if text and follow is not Follow.TEXT:
        raise BadInput("Text", f"--text needs --follow text, and this run has --follow {follow}.", "Add it.")
    if prompt == "-" == text:
        raise BadInput(
            "Standard input", "Standard input can't be both the prompt and the text.", "Give one of them as an option."
        )
    if typed.get("raw") and typed.get("chat_template"):
        raise BadInput(
            "Chat template", "A raw prompt uses no chat template.", "Give --raw or --chat-template, not both."
        )
    asked = prompt_for(follow, DEFAULT_PROMPT) if prompt is None else text_of(prompt)
    if not asked and follow is not Follow.TEXT:
        raise BadInput("Empty prompt", "A run needs a prompt of at least one character.", "Type one.")
    return typed.build(RunSettings, prompt=asked, text=text_of(text), watch=parse_watch(typed.get("watch", "")))


def pair_spec(typed: Typed) -> PairSpec:
    """The two models. Raises `BadInput` for a setting that can't be read, and for options without effect."""
    text = typed.get("prune") or ("" if typed.get("pruned") else DEFAULT_PRUNE)
    spec = typed.build(PairSpec, prune=parse(text) if text else None)
    parts = spec.prune.parts if spec.prune else ()
    if not any(part.calibrated for part in parts):
        why = f"on {spec.prune}, which is not calibrated" if spec.prune else "without --prune"
        seeded = any(part.method is Method.RANDOM for part in parts)
        names = [name for name in option_names(CalibrationSpec) if name != "prune_seed" or not seeded]
        typed.refuse(names, why, "Leave it out, or choose a calibrated method such as wanda.")
    return spec


def text_of(given: str) -> str:
    """A text as it was typed; for "-", all of standard input."""
    if given != "-":
        return given
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as problem:
        raise BadInput(
            "Standard input",
            f"It is not {problem.encoding} text (byte {problem.start}).",
            "Set PYTHONIOENCODING to its encoding, or convert it.",
        ) from problem
