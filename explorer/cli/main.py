"""The commands `phier` (without a screen) and `phier-tui` (the explorer). Nothing here loads torch at import time."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from explorer.cli import options as o
from explorer.cli import prune as cli_prune
from explorer.cli.exits import DebugCommand, exit_on_error
from explorer.cli.given import OF_A_RUN, refuse_empty, refuse_idle_calibration, refuse_ignored
from explorer.cli.recordings import add_to
from explorer.cli.standard_streams import safe_streams
from explorer.sources.source import Source
from explorer.ui.splash import Splash
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE, prompt_for
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.nearest import did_you_mean
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.until import parse_until

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Program(typer.Typer):
    """Commands whose streams take every character, from their help to their last line, and that have --debug."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[_Function], _Function]:
        return super().command(name, **{"cls": DebugCommand, **options})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with safe_streams():
            return super().__call__(*args, **kwargs)


phier = _Program(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Steps a dense and a pruned language model side by side and measures where they part.",
)
phier_tui = _Program(add_completion=False, pretty_exceptions_enable=False)


@phier.callback()
def _phier(version: o.Version = False) -> None:
    """Keeps `run` a command of its own."""


@phier.command()
def run(
    context: typer.Context,
    dense: o.Dense = "demo",
    pruned: o.Pruned = "",
    prune: o.Prune = "",
    prompt: o.Prompt = None,
    raw: o.Raw = False,
    chat_template: o.ChatTemplate = "",
    follow: o.FollowOption = Follow.DENSE,
    text: o.Text = "",
    temperature: o.Temperature = 0.0,
    top_k: o.TopK = 0,
    top_p: o.TopP = 1.0,
    seed: o.Seed = 0,
    analysis_temperature: o.AnalysisTemperature = None,
    steps: o.Steps = None,
    until: o.UntilOption = [],  # noqa: B006 - typer reads it and never changes it
    session: o.RunSession = "",
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    device_map: o.DeviceMap = "",
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    calibration: o.CalibrationText = "",
    samples: o.Samples = 0,
    length: o.Length = 0,
    calibration_seed: o.CalibrationSeed = None,
    threads: o.Threads = 0,
    json: bool = typer.Option(False, "--json", help="One JSON object a step, then one with the summary."),
) -> None:
    """Runs both models and prints a row a step."""
    with exit_on_error():
        refuse_empty(context, "prompt", "text")
        settings = _settings(
            prompt, raw, chat_template, follow, text,
            Sampling(temperature, top_k, top_p, seed), analysis_temperature, steps,
        )  # fmt: skip
        conditions = [parse_until(one) for one in until]
        if temperature == 0:
            rest = "nothing to a greedy sampler."
            refuse_ignored(context, ("top_k", "top_p"), "say", rest, "Give --temperature too, or leave it out.")
        wanted = _wanted(
            dense, pruned, prune, device, dtype, device_map, trust_remote_code, allow_pickle,
            calibration, samples, length, calibration_seed, threads,
        )  # fmt: skip
        refuse_idle_calibration(context, wanted.prune)
        from probes.early import check_early

        check_early(wanted)
        from rich.console import Console

        from explorer.cli.live_table import JsonLines, LiveTable
        from explorer.cli.progress_bar import Bar
        from explorer.cli.run_loop import events, recorded, tell_notes, tell_notice

        show = JsonLines() if json else LiveTable(Console())
        with recorded(Path(session) if session else None) as record:
            with Bar(Console(stderr=True)) as bar:
                from probes.pair import load_pair

                pair = load_pair(wanted, bar.work)
            read = pair.prompt(settings)
            header = pair.header(settings, read)
            tell_notes(header.every_warning, header.every_note)
            with pair.lockstep(settings, read) as lockstep:
                for event in events(lockstep, header, conditions):
                    record(event)
                    tell_notice(event)
                    show(event)


@phier.command()
def bench(
    context: typer.Context,
    what: str = typer.Argument(
        "steps",
        help="steps: a step against a bare loop, memory and interface. prune: time and memory of pruning. "
        "methods: every method at a few amounts, as a table in Markdown.",
    ),
    dense: o.Dense = "demo",
    prune: Annotated[
        list[str], typer.Option("--prune", help="steps: the setting that is stepped. methods: those in the table.")
    ] = [],  # noqa: B006 - typer reads it and never changes it
    threads: o.Threads = 0,
    prompt: Annotated[str | None, typer.Option(help="steps and methods: the prompt; - reads standard input.")] = None,
    steps: Annotated[int | None, typer.Option(help="methods: tokens that they are compared on; 64.", min=1)] = None,
) -> None:
    """Measures on this machine what the program costs, in one run, as ratios; or what each method does."""
    with exit_on_error():
        refuse_empty(context, "prompt")
        if what not in ("steps", "prune", "methods"):
            hint = f"{did_you_mean(what, ('steps', 'prune', 'methods'))}Use steps, prune or methods."
            raise BadInput("Bench", f"{what!r} can't be measured.", hint)
        if what != "methods" and steps is not None:
            raise BadInput("Bench", f"--steps says nothing to bench {what}.", "Leave it out, or use methods.")
        if what == "prune" and (prune or prompt is not None):
            raise BadInput("Bench", "bench prune has its own settings and prompt.", "Leave --prune and --prompt out.")
        if what == "steps" and len(prune) > 1:
            raise BadInput("Bench", "Only one setting can be stepped.", "Give --prune once, or use methods.")
        from probes.early import check_early

        for setting in prune:
            check_early(PairSpec(dense=dense, prune=parse(setting)))
        default = prune[0] if prune else DEFAULT_PRUNE
        wanted = PairSpec(dense=dense, prune=parse(default), load=LoadOptions(threads=threads))
        check_early(wanted)
        text = _given(DEFAULT_PROMPT if prompt is None else prompt)
        from rich.console import Console

        from explorer.bench import pruning, stepping
        from explorer.cli.progress_bar import Bar

        bar = Bar(Console(stderr=True))
        if what == "steps":
            with bar:
                measured = stepping.bench_steps(wanted, bar.work, prompt=text)
            stepping.print_steps(measured)
        elif what == "prune":
            with bar:
                weighed = pruning.bench_pruning(wanted, bar.work)
            pruning.print_pruning(weighed)
        else:
            with bar:
                tried = pruning.bench_methods(wanted, text, prune, steps or 64, bar.work)
            pruning.print_methods(tried)


add_to(phier)
cli_prune.add_to(phier)


@phier_tui.command()
def explore(
    context: typer.Context,
    version: o.Version = False,  # noqa: ARG001 - its callback has done it
    recording: str = typer.Argument(
        "", help="A recorded run to replay, without any model; FILE#2 is the second in a file.", show_default=False
    ),
    number: int | None = typer.Option(None, "--run", help="Which run of the recording; its last one.", min=1),
    demo: bool = typer.Option(False, "--demo", help="Play a recording that comes with the program; no model needed."),
    play: bool = typer.Option(False, "--play", help="Play the recording from its first step."),
    speed: float | None = typer.Option(None, help="Steps a second when playing; as recorded unless given.", min=0.1),
    loop: bool = typer.Option(False, "--loop", help="Play over and over."),
    recordings: bool = typer.Option(False, "--recordings", help="Begin with the list of recordings (the key o)."),
    dense: o.Dense = "demo",
    pruned: o.Pruned = "",
    prune: o.Prune = "",
    prompt: o.Prompt = None,
    raw: o.Raw = False,
    chat_template: o.ChatTemplate = "",
    follow: o.FollowOption = Follow.DENSE,
    text: o.Text = "",
    temperature: o.Temperature = 0.0,
    top_k: o.TopK = 0,
    top_p: o.TopP = 1.0,
    seed: o.Seed = 0,
    analysis_temperature: o.AnalysisTemperature = None,
    steps: o.Steps = None,
    session: o.Session = "",
    device: o.Device = "auto",
    dtype: o.Dtype = "auto",
    device_map: o.DeviceMap = "",
    trust_remote_code: o.TrustRemoteCode = False,
    allow_pickle: o.AllowPickle = False,
    calibration: o.CalibrationText = "",
    samples: o.Samples = 0,
    length: o.Length = 0,
    calibration_seed: o.CalibrationSeed = None,
    threads: o.Threads = 0,
) -> None:
    """Opens the explorer: a dense and a pruned model, stepped side by side."""
    with exit_on_error():
        refuse_empty(context, "prompt", "text")
        if recording or demo:
            rest = "nothing to a recording, which has its own models and settings."
            refuse_ignored(context, OF_A_RUN, "say", rest, "Leave it out, or begin a new run without a recording.")
        else:
            rest, names = "a recording, and none is named.", ("play", "speed", "loop", "number")
            refuse_ignored(context, names, "play", rest, "Name a recording, or give --demo.")
        settings = _settings(
            prompt, raw, chat_template, follow, text,
            Sampling(temperature, top_k, top_p, seed), analysis_temperature, steps,
        )  # fmt: skip
        wanted = _wanted(
            dense, pruned, prune, device, dtype, device_map, trust_remote_code, allow_pickle,
            calibration, samples, length, calibration_seed, threads,
        )  # fmt: skip
        if not (recording or demo):
            from probes.early import check_early

            check_early(wanted)
        if number is not None and recording:
            from explorer.sources.chosen import chosen

            if chosen(recording).run is not None:
                raise BadInput(
                    "Which run", f"{visible(recording)} names a run, and so does --run {number}.", "Give one."
                )
        if speed is not None and not math.isfinite(speed):
            raise BadInput("Speed", f"{speed} is not a number of steps a second.", "Use a number of at least 0.1.")
        if sum((bool(recording), demo, recordings)) > 1:
            raise BadInput("What to open", "A recording, --demo and --recordings are three beginnings.", "Give one.")
        _meet_the_terminal()
        with Splash():
            from explorer.sources.launcher import Launcher
            from explorer.ui.app import run_explorer

            models = Launcher(wanted, settings, Path(session) if session else None)
            source = None if recordings else _recorded(recording, number, demo, play, speed, loop) or models.run()
        raise typer.Exit(
            run_explorer(source, live=models.run, revive=models.resume, unsaved=models.unsaved, save=models.save)
        )


def _recorded(
    recording: str, number: int | None, demo: bool, play: bool, speed: float | None, loop: bool
) -> Source | None:
    """The recording that was named, with the run that was; None where none was."""
    if not recording and not demo:
        return None
    from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
    from explorer.sources.autoplay import Autoplay
    from explorer.sources.chosen import Chosen, chosen
    from explorer.sources.replay import ReplaySource

    which = chosen(recording) if recording else Chosen(shipped_folder() / DEMO_RECORDING)
    path, number = which.path, number if which.run is None else which.run
    if not path.is_file():
        from probes.models.spec_check import nearby

        raise BadInput(
            "Recording", f"There is no recording {visible(str(path))}.", f"{nearby(path)}`phier sessions` lists them."
        )
    if play or demo or loop or speed is not None:
        return Autoplay(path, number=number, play=True, pace=speed, loop=loop)
    return ReplaySource(path, number=number)


def _meet_the_terminal() -> None:
    """Draws on the terminal and reads keys from it, wherever standard input, output and error go.

    Textual draws on standard error and reads standard input; where either is something else (a file, a prompt that
    was piped in), the terminal is put in its place. Raises `BadInput` where there is none.
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


def _settings(
    prompt: str | None,
    raw: bool,
    chat_template: str,
    follow: Follow,
    text: str,
    sampling: Sampling,
    analysis_temperature: float | None,
    steps: int | None,
) -> RunSettings:
    if text and follow is not Follow.TEXT:
        raise BadInput("Text", f"A text is scored with --follow text, not with --follow {follow}.", "Add it.")
    if prompt == "-" == text:
        raise BadInput("Standard input", "It can't be both the prompt and the text.", "Give one of them as an option.")
    if raw and chat_template:
        raise BadInput("Chat template", "A raw prompt goes into none.", "Give --raw or --chat-template, not both.")
    scores = follow is Follow.TEXT
    asked = prompt_for(follow, DEFAULT_PROMPT) if prompt is None else _given(prompt)
    if not asked and not scores:
        raise BadInput("Empty prompt", "A run needs a prompt of at least one character.", "Type one.")
    return RunSettings(
        prompt=asked,
        raw=raw,
        follow=follow,
        text=_given(text),
        sampling=sampling,
        analysis_temperature=analysis_temperature,
        steps=steps or 0,
        chat_template=chat_template,
    )


def _given(text: str) -> str:
    if text != "-":
        return text
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as problem:
        raise BadInput(
            "Standard input",
            f"It is not {problem.encoding} text (byte {problem.start}).",
            "Set PYTHONIOENCODING to its encoding, or convert it.",
        ) from problem


def _wanted(
    dense: str,
    pruned: str,
    prune: str,
    device: str,
    dtype: str,
    device_map: str,
    trust_remote_code: bool,
    allow_pickle: bool,
    calibration: str,
    samples: int,
    length: int,
    calibration_seed: int | None,
    threads: int,
) -> PairSpec:
    setting = prune or ("" if pruned else DEFAULT_PRUNE)
    return PairSpec(
        dense=dense,
        pruned=pruned,
        prune=parse(setting) if setting else None,
        calibration=CalibrationSpec(calibration, samples, length, calibration_seed),
        load=LoadOptions(device, dtype, device_map, trust_remote_code, allow_pickle, threads),
    )
