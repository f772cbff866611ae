"""Reads the options that several commands have: the settings of a run, and the two models."""

from __future__ import annotations

import sys

from explorer.cli.options import Typed, option_names
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE
from probes.models.prompt_file import STANDARD_INPUT, given_text, read_prompt_file
from probes.schema.conversation import Conversation, Turn, template_args
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.prune_setting import Method, parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.schema.watch import parse_watch


def run_settings(typed: Typed, *, first_of_many: bool = False) -> RunSettings:
    """The settings of a run. `first_of_many` takes the first prompt of a file of which none was named.

    Raises `BadInput` for options that exclude each other, and for a file that can't be read."""
    follow = Follow(typed.get("follow", Follow.DENSE))
    _refuse_two_of(typed)
    if (typed.get("text") or typed.get("text_file")) and follow is not Follow.TEXT:
        name = "--text" if typed.get("text") else "--text-file"
        raise BadInput("Text", f"{name} needs --follow text, and this run has --follow {follow}.", "Add it.")
    text = given_text(typed.get("text_file"), "text") if typed.get("text_file") else text_of(typed.get("text", ""))
    asked = _conversation(typed, follow, first_of_many)
    if not asked.prompt and follow is not Follow.TEXT:
        raise BadInput("Empty prompt", "A run needs a prompt of at least one character.", "Type one.")
    return typed.build(
        RunSettings,
        prompt=asked.prompt,
        text=text,
        turns=asked.turns,
        begun=asked.begun,
        template_args=template_args(typed.get("template_arg", ())),
        watch=parse_watch(typed.get("watch", "")),
    )


def _refuse_two_of(typed: Typed) -> None:
    """Raises `BadInput` for options that exclude each other."""
    from_input = [f"--{name}" for name in ("prompt", "prompt_file", "text", "text_file") if typed.get(name) == "-"]
    if len(from_input) > 1:
        names = " and ".join(from_input).replace("_", "-")
        raise BadInput("Standard input", f"Standard input can't be both {names}.", "Give one of them in another way.")
    if typed.get("text") and typed.get("text_file"):
        raise BadInput("Text", "--text and --text-file both give the text to score.", "Give one of them.")
    if typed.get("prompt_file"):
        typed.refuse(("prompt", "turn", "begun"), "beside --prompt-file", "Write it into the file, or leave it out.")
    if typed.get("raw") and typed.get("chat_template"):
        raise BadInput(
            "Chat template", "A raw prompt uses no chat template.", "Give --raw or --chat-template, not both."
        )


def _conversation(typed: Typed, follow: Follow, first_of_many: bool) -> Conversation:
    """All turns that were asked for. The default prompt is asked if there is none."""
    if named := typed.get("prompt_file"):
        file = read_prompt_file(named)
        asked = file.named if first_of_many and named != STANDARD_INPUT else file.only
    else:
        turns = tuple(map(_turn, typed.get("turn", ())))
        prompt = typed.get("prompt")
        scored_alone = follow is Follow.TEXT and not (turns or typed.get("system") or typed.get("begun"))
        default = "" if scored_alone else DEFAULT_PROMPT
        asked = Conversation(turns, default if prompt is None else text_of(prompt), typed.get("begun", ""))
    return asked.with_system(typed.get("system")) if typed.get("system") else asked


def _turn(written: str) -> Turn:
    role, sign, content = written.partition("=")
    if not sign or not role.strip() or not content.strip():
        shown = visible(written, 80)
        raise BadInput("Turn", f"{shown!r} is no turn with a role and a text.", "Write it like user=TEXT.")
    return Turn(role.strip(), content)


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
