"""`phier-tui`: the explorer on live models or on a recording."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from explorer.cli.options import ShellCommand, Typed, argument, option, option_names, print_version, records, takes
from explorer.cli.read_options import pair_spec, run_settings
from explorer.cli.serve import Serving, serves
from explorer.config.screen_options import ScreenOptions
from explorer.recordings.opening import open_recording, open_tour
from explorer.sources.source import Source
from probes.models.prompt_file import STANDARD_INPUT
from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import visible
from probes.schema.prompt_source import PromptSource
from probes.schema.prune_setting import parse
from probes.schema.settings import RunSettings
from probes.schema.spec import LoadOptions, PairSpec
from probes.system.user_folders import expanded

TOUR_PRUNE = "wanda:0.3"
"""The setting of the tour: mild enough that options stay right, and answers do not."""
_playing = partial(option, section="Recording")


class _Explorer(ShellCommand):
    """The program that ends even if a model is still computing."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except SystemExit as ended:
            if not (args or kwargs):  # the program itself, not a test in a process that goes on
                _end_at_once(ended.code)
            raise


def _end_at_once(code: object) -> None:
    """Ends the process if a lane is at work: while Python shuts down, a thread in native code would abort it.

    Nothing is lost: the source is closed, and the recorder writes each line before it is shown.
    """
    from explorer.sources.lane import lanes_at_work

    if lanes_at_work():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


@click.command("phier-tui", cls=_Explorer, configured=True)
@print_version
@argument(
    "recording",
    default="",
    help="A recorded run to replay, without any model; FILE#2 is the second run of a file. Or a results file, a "
    "sweep's, or a folder to choose from.",
)
@_playing("--run", "number", type=click.IntRange(min=1), help="The run of the recording. [default: its last one]")
@_playing("--demo", is_flag=True, help="Play a recording that comes with the program; it needs no model.")
@_playing("--play", is_flag=True, help="Play the recording from its first step.")
@_playing("--speed", type=click.FloatRange(min=0.1), help="Steps a second while playing. [default: as recorded]")
@_playing("--loop", is_flag=True, help="Play again and again.")
@_playing(
    "--tour", is_flag=True, help="Be shown around: six stops through what pruning does, each a sentence and a key."
)
@_playing("--recordings", is_flag=True, help="Begin with the list of recordings (the key o).")
@takes(PairSpec)
@takes(RunSettings)
@takes(PromptSource)
@takes(ScreenOptions)
@records("a file in your own folder")
@serves
def explore_command(
    typed: Typed,
    recording: str,
    number: int | None,
    demo: bool,
    play: bool,
    speed: float | None,
    loop: bool,
    tour: bool,
    recordings: bool,
    record_to: str,
    serving: Serving | None,
) -> None:
    """Open the explorer: a dense and a pruned model, stepped side by side."""
    if recording or demo:
        given = (PairSpec, RunSettings, PromptSource)
        of_models = {name for kind in given for name in option_names(kind)} - {*option_names(LoadOptions)}
        why = "on a recording, which has its own models and settings"
        typed.refuse(of_models, why, "Leave it out, or begin a new run without a recording.")
    else:
        why = "without a recording to play"
        typed.refuse(("play", "speed", "loop", "number"), why, "Name a recording, or give --demo.")
    if serving is not None:
        typed.refuse(("record_to",), "with --serve: each tab records into a file of its own", "Leave it out.")
    if serving is not None and not serving.models:
        of_runs = {*option_names(PairSpec), *option_names(RunSettings), *option_names(PromptSource)}
        typed.refuse(of_runs, "with --serve, which serves recordings", "Add --models, or leave it out.")
    settings, spec, look = run_settings(typed, first_of_many=True), pair_spec(typed), typed.build(ScreenOptions)
    if (serving is None or serving.models) and not (recording or demo):
        from probes.early import check_early

        check_early(spec)
    if number is not None and recording:
        from explorer.sources.chosen import chosen

        if chosen(recording).run is not None:
            raise BadInput("Which run", f"{visible(recording)} names a run, and so does --run {number}.", "Give one.")
    if speed is not None and not math.isfinite(speed):
        raise BadInput("Speed", f"A speed of {speed} is not possible.", "Use at least 0.1 steps a second.")
    if sum((bool(recording), demo, recordings)) > 1 or (tour and (play or recordings or loop)):
        sentence = (
            "--demo, --recordings and a recording file exclude each other, and --tour excludes --play and --loop."
        )
        raise BadInput("Conflicting options", sentence, "Give one of them.")
    folder = expanded(recording) if recording and expanded(recording).is_dir() else None
    if folder is not None:
        typed.refuse(("play", "speed", "loop", "number"), "on a folder", "Name a recording in it.")
    keymap = _chosen_keys(typed)
    if serving is not None:
        if serving.models:
            spec = _of_the_tour(typed, spec) if tour else spec
        serving.serve(recording, number, demo, play, speed, loop, tour, look, keymap, spec, settings, recordings)
        return
    bare = not (recording or demo or tour or recordings or record_to) and not any(
        typed.get(name) is not None for kind in (PairSpec, RunSettings, PromptSource) for name in option_names(kind)
    )
    _use_the_terminal()
    from explorer.ui.silent_terminal import no_echo
    from explorer.ui.splash import Splash

    with no_echo():
        with Splash():
            from explorer.sources.launcher import ModelLauncher
            from explorer.ui.app import run_explorer

            _offer(typed.get("prompt_file", ""))
            launcher = ModelLauncher(spec, settings, Path(record_to) if record_to else None, _of_the_tour(typed, spec))
            source: Source | None = None
            if tour:
                source = open_tour(recording, number, speed) if recording or demo else launcher.begin_tour()
            elif not (bare or recordings or folder is not None):
                source = open_recording(recording, number, demo, play, speed, loop) or launcher.begin()
        code = run_explorer(source, launcher=launcher, folder=folder, look=look, keymap=keymap, welcome=bare, tour=tour)
    if (path := launcher.recording) is not None:
        click.echo(f"The run is recorded in {visible(str(path))}", err=True)
    raise click.exceptions.Exit(code)


def _of_the_tour(typed: Typed, spec: PairSpec) -> PairSpec:
    """The models that the tour is taken on: pruned as was asked, or as mildly as the tour wants it."""
    return spec if typed.get("prune") or typed.get("pruned") else replace(spec, prune=parse(TOUR_PRUNE))


def _chosen_keys(typed: Typed) -> Mapping[str, str]:
    """The keys of the config file. Raises `BadInput` for those that can't be."""
    if typed.config is None or not typed.config.keys:
        return {}
    from explorer.ui.keymap import chosen_keys  # imports every screen

    return chosen_keys(typed.config)


def _offer(prompts: str) -> None:
    """Lets the prompt editor begin with this file of prompts, as with any that was typed there."""
    from explorer.state.typed_history import TypedHistory

    if prompts not in ("", STANDARD_INPUT):
        with suppress(Failure):  # then the file is typed in the editor, which says why it is not remembered
            TypedHistory().add("file", str(expanded(prompts).absolute()))


def _use_the_terminal() -> None:
    """Draws on the terminal and reads keys from it, even if standard input, output and error go elsewhere.

    Textual draws on standard error and reads standard input. If either is something else, such as a file or a prompt
    that is piped in, the terminal replaces it. Raises `BadInput` if there is no terminal.
    """
    out, err = sys.__stdout__, sys.__stderr__
    if err is None or not err.isatty():
        if out is None or not out.isatty():
            raise _no_terminal()
        vars(sys)["__stderr__"] = err = out
    if isinstance(err, TextIOWrapper):
        err.reconfigure(errors="replace")  # one character for another: the columns stay
    if sys.__stdin__ is None or not sys.__stdin__.isatty():
        try:
            os.dup2(os.open("/dev/tty", os.O_RDWR), 0)
        except OSError as problem:
            raise _no_terminal() from problem


def _no_terminal() -> BadInput:
    return BadInput("No terminal", "The explorer needs a terminal, and there is none here.", "Use `phier run` instead.")
