"""The options that `phier run` and `phier-tui` share, with the words their help shows."""

from __future__ import annotations

from typing import Annotated

import typer

from explorer.words.defaults import DEFAULT_PRUNE
from probes.schema.settings import Follow
from probes.schema.until import GRAMMAR


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("phier"))
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
]


_MODELS, _RUN, _SAMPLER, _CALIBRATION = "Models", "Run", "Sampler", "Calibration"

Dense = Annotated[
    str, typer.Option("--dense", help="Dense model: demo, a hub id, a folder or a .gguf file.", rich_help_panel=_MODELS)
]
Pruned = Annotated[
    str, typer.Option("--pruned", help="A second model that was pruned elsewhere.", rich_help_panel=_MODELS)
]
Prune = Annotated[
    str,
    typer.Option(
        "--prune",
        help=f"Prune the dense model here: METHOD:AMOUNT[@TARGETS], joined by +. Default {DEFAULT_PRUNE}.",
        rich_help_panel=_MODELS,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=_MODELS)]
Dtype = Annotated[
    str, typer.Option(help="auto (float32 on a CPU), float32, bfloat16, float16.", rich_help_panel=_MODELS)
]
DeviceMap = Annotated[
    str, typer.Option("--device-map", help="auto spreads the models over devices.", rich_help_panel=_MODELS)
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with a model.", rich_help_panel=_MODELS)
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Read weights from pickle files (.bin).", rich_help_panel=_MODELS)
]
Threads = Annotated[
    int,
    typer.Option(
        help="Threads a CPU computes with; 0 measures which number is fastest.", min=0, rich_help_panel=_MODELS
    ),
]
Prompt = Annotated[
    str | None,
    typer.Option(
        help="The prompt; - reads standard input. Unless given, a word problem, and nothing before a text to score.",
        rich_help_panel=_RUN,
        show_default=False,
    ),
]
Raw = Annotated[bool, typer.Option("--raw", help="No chat template.", rich_help_panel=_RUN)]
ChatTemplate = Annotated[
    str,
    typer.Option(
        "--chat-template",
        help="Which chat template, by name, if the model has several.",
        rich_help_panel=_RUN,
        show_default=False,
    ),
]
FollowOption = Annotated[
    Follow, typer.Option("--follow", help="Whose tokens both models see; free: each its own.", rich_help_panel=_RUN)
]
Text = Annotated[
    str, typer.Option(help="The text to score with --follow text; - reads standard input.", rich_help_panel=_RUN)
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="The longest run, in tokens; 128, or all of a text to score, unless given.",
        min=1,
        rich_help_panel=_RUN,
        show_default=False,
    ),
]
UntilOption = Annotated[
    list[str], typer.Option("--until", help=f"Stop when: {GRAMMAR}. May be repeated.", rich_help_panel=_RUN)
]
Session = Annotated[
    str, typer.Option(help="Record into this file instead of a new one.", rich_help_panel=_RUN, show_default=False)
]
RunSession = Annotated[
    str,
    typer.Option("--session", help="Record into this file; without it nothing is recorded.", rich_help_panel=_RUN),
]
Temperature = Annotated[float, typer.Option(help="0 is greedy.", rich_help_panel=_SAMPLER)]
TopK = Annotated[int, typer.Option("--top-k", help="0 keeps all tokens.", rich_help_panel=_SAMPLER)]
TopP = Annotated[float, typer.Option("--top-p", help="1 keeps all tokens.", rich_help_panel=_SAMPLER)]
Seed = Annotated[int, typer.Option(help="Of the randomness both models share.", rich_help_panel=_SAMPLER)]
AnalysisTemperature = Annotated[
    float | None,
    typer.Option(
        "--analysis-temperature",
        help="T of the compared distributions; the sampler's, or 1 when greedy, unless given.",
        rich_help_panel=_SAMPLER,
    ),
]
CalibrationText = Annotated[
    str,
    typer.Option(
        "--calibration",
        help="A text, JSON or JSON Lines file, or a data set id. Without it the dense model's own text is used.",
        rich_help_panel=_CALIBRATION,
    ),
]
Samples = Annotated[int, typer.Option(help="Calibration samples; 0 is the default.", rich_help_panel=_CALIBRATION)]
Length = Annotated[int, typer.Option(help="Tokens a sample; 0 is the default.", rich_help_panel=_CALIBRATION)]
CalibrationSeed = Annotated[
    int | None,
    typer.Option("--calibration-seed", help="Takes windows at random by this seed.", rich_help_panel=_CALIBRATION),
]
