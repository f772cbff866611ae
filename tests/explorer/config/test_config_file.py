"""The config file: what it sets, what wins over it, and what it says about a mistake."""

from __future__ import annotations

import io
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.progress import BarColumn

from explorer.cli.main import phier
from explorer.cli.options import ShellCommand, Typed, takes
from explorer.cli.progress_bar import Bar
from explorer.cli.read_options import pair_spec, run_settings
from explorer.config.config_file import CONFIG_SECTIONS, Config, config_of, config_path, read_config, section_options
from explorer.config.example import example_config
from explorer.config.screen_options import GlyphSet, Motion, ScreenOptions, ThemeChoice
from explorer.sources.command_line import command_line
from probes.schema.events import RunStarted
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import config_folder
from tests.support.records import recorded_events

ALL = """
[models]
dense = "./big"
prune = "magnitude:0.3"
overlap = "none"
[run]
prompt = "Hi"
steps = 9
follow = "free"
watch = "yes=Yes | no=No"
[sampling]
temperature = 1   # a whole number is a number
top-k = 3
top_p = 0.5
[calibration]
samples = 4
prune-seed = 7
[loading]
dtype = "bfloat16"
allow-pickle = true
[screen]
theme = "light"
glyphs = "ascii"
motion = "reduced"
[keys]
step = "b"
next-theme = ["t", "f5"]
"""
Read = tuple[RunSettings, PairSpec, ScreenOptions]


def config(text: str) -> Config:
    return config_of(text, Path("config.toml"))


@pytest.fixture(autouse=True)
def _no_choice_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path))
    for name in ("PHIER_THEME", "PHIER_GLYPHS", "PHIER_REDUCED_MOTION", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)


def write(text: str) -> None:
    config_path().write_text(text, "utf-8")


def options(*words: str) -> Read:
    """What a command makes of these words and the config file. Fails if it refuses them."""
    made: list[Read] = []
    ended = refused(*words, made=made)
    assert made, ended
    return made[0]


def refused(*words: str, made: list[Read] | None = None) -> str:
    """What the command says."""

    @click.command(cls=ShellCommand, configured=True)
    @takes(PairSpec)
    @takes(RunSettings)
    @takes(ScreenOptions)
    def command(typed: Typed) -> None:
        read = (run_settings(typed), pair_spec(typed), typed.build(ScreenOptions))
        (made if made is not None else []).append(read)

    return CliRunner().invoke(command, list(words)).stderr


def test_every_section_reaches_its_dataclass() -> None:
    write(ALL)
    settings, spec, look = options()
    assert (settings.prompt, settings.steps, settings.follow) == ("Hi", 9, Follow.FREE)
    assert [group.label for group in settings.watch] == ["yes", "no"]
    assert (settings.sampling.temperature, settings.sampling.top_k, settings.sampling.top_p) == (1.0, 3, 0.5)
    assert (spec.dense, spec.prune, str(spec.overlap)) == ("./big", parse("magnitude:0.3"), "none")
    assert (spec.calibration.samples, spec.calibration.seed) == (4, 7)
    assert (spec.load.dtype, spec.load.allow_pickle) == ("bfloat16", True)
    assert look == ScreenOptions(ThemeChoice.LIGHT, GlyphSet.ASCII, Motion.REDUCED)
    assert read_config().keys == {"step": "b", "next-theme": "t,f5"}


def test_without_a_file_nothing_changes() -> None:
    assert options() == options("--no-config")
    assert not read_config().exists


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write(ALL)
    assert options("--steps", "3")[0].steps == 3
    assert options("--no-config")[0].steps == 0
    monkeypatch.setenv("PHIER_THEME", "contrast")
    monkeypatch.setenv("PHIER_REDUCED_MOTION", "0")
    assert options()[2] == ScreenOptions(ThemeChoice.CONTRAST, GlyphSet.ASCII, Motion.FULL)
    assert options("--theme", "dark")[2].theme is ThemeChoice.DARK
    assert options("--no-config")[2].theme is ThemeChoice.CONTRAST
    monkeypatch.setenv("PHIER_THEME", "contrats")
    assert "Did you mean contrast?" in refused()


@pytest.mark.parametrize("variable", ["PHIER_REDUCED_MOTION", "TEXTUAL_ANIMATIONS"])
def test_motion_is_reduced_by_either_variable(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "none")
    assert options()[2].motion is Motion.REDUCED


def test_the_progress_of_a_command_has_no_moving_bar_in_reduced_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    def columns() -> set[type]:
        return {type(column) for column in Bar(Console(file=io.StringIO()))._progress.columns}

    assert BarColumn in columns()
    write("[screen]\nmotion = 'reduced'\n")
    assert BarColumn not in columns()
    monkeypatch.setenv("PHIER_REDUCED_MOTION", "0")
    assert BarColumn in columns()


def test_a_default_gives_way_to_an_option_that_excludes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[models]\npruned = "./other"\n[run]\nprompt = "Hi"\nchat-template = "plain"\n[loading]\nthreads = 1\n')
    assert options()[1].pruned == "./other"
    assert options("--prune", "wanda:0.2")[1].pruned == ""
    assert options("--raw")[0].chat_template == ""
    assert options("--follow", "text", "--text", "It is.")[0].prompt == ""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert options()[1].load.threads == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert options()[1].load.threads == 0


def test_a_default_without_effect_is_not_refused() -> None:
    write("[calibration]\nsamples = 8\n")
    assert options("--prune", "magnitude:0.5")[1].prune == parse("magnitude:0.5")
    assert "--samples has no effect" in refused("--prune", "magnitude:0.5", "--samples", "8")


FAULTS = [
    ("[modles]\ndense='a'", ["line 1: [modles] is not known here.", "Did you mean models?"]),
    ("[run]\n\nstep = 3", ["line 3: [run] has the unknown name step.", "Did you mean steps?"]),
    ("[run]\ntheme = 'dark'", ["line 2: [run] has the unknown name theme.", "It belongs in [screen]."]),
    ("theme = 'dark'", ["line 1: theme is not known here.", "Write it under [screen]."]),
    ("[sampling]\ntemperature = 'warm'", ["line 2: temperature is the text “warm”, not a number.", "= 0.5, for"]),
    ("[sampling]\ntemperature = -1", ["line 2: temperature: -1 is not a temperature.", "Use 0 for greedy"]),
    ("[run]\nsteps = true", ["line 2: steps is true, not a whole number.", "Write steps = 3"]),
    ("[run]\nsteps = 0", ["line 2: steps is 0.", "at least 1"]),
    ("[run]\nraw = 1", ["line 2: raw is the number 1, not true or false."]),
    ("[run]\nprompt = '-'", ["line 2: prompt is the text “-”, which has no meaning in a file."]),
    ("[screen]\nglyphs = 'brail'", ["line 2: glyphs is the text “brail”.", "Did you mean braille?"]),
    ("[models]\nprune = 'wandaa:0.5'", ["line 2: prune: "]),
    ("[models]\nprune = 'wanda:0.5'\npruned = 'a'", ["line 3: prune and pruned both name the second model."]),
    ("[run]\ntemplate-arg = [1]", ["line 2: template-arg is a list, not a list of texts."]),
    ("[run]\ntemplate-arg = 'x'", ["line 2: template-arg: "]),
    ("[keys]\nstep = 3", ["line 2: step is the number 3, not a key."]),
    ("screen = 1", ["line 1: screen is the number 1, not a section."]),
    ("screen.theme = 'drak'", ["line 1: theme is the text “drak”.", "Did you mean dark?"]),
    ("[run]\nprompt = \"\"\"\n[x]\ny = 1\n\"\"\"\nstep = 2", ["line 6: [run] has the unknown name step."]),
    ("[run]\nsteps = = 3", ["is not TOML", "line 2"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "said"), FAULTS, ids=[text.replace("\n", " ")[:30] for text, _ in FAULTS])
def test_a_fault_names_the_line_what_was_found_and_what_to_do(text: str, said: list[str]) -> None:
    (fault,) = config(text).faults
    assert fault.hint
    for part in said:
        assert part in str(fault)


def test_every_fault_is_found_and_the_rest_is_read() -> None:
    found = config("[run]\nsteps = 'x'\nfollow = 'free'\n[screen]\ntheme = 3\n")
    assert len(found.faults) == 2
    assert found.values == {"follow": "free"}


def test_a_fault_ends_a_command_but_for_no_config() -> None:
    write("[run]\nsteps = 'x'\n")
    assert "steps is the text “x”, not a whole number." in refused()
    assert refused("--no-config") == ""


def test_a_file_that_is_no_text_is_a_sentence() -> None:
    config_path().write_bytes(b"\xff\xfe")
    (fault,) = read_config().faults
    assert "it is not UTF-8 text" in str(fault)


def test_every_line_of_the_example_is_accepted() -> None:
    lines = example_config([("step", "n", "Measures one step.")]).splitlines()
    names = {name for section in CONFIG_SECTIONS for name, *_ in section_options(section)}
    set_here = [line.removeprefix("# ") for line in lines]
    set_here = [line for line in set_here if line.startswith("[") or line.partition(" = ")[0] in {*names, "step"}]
    assert {line.partition(" = ")[0] for line in set_here if "=" in line} == {*names, "step"}
    found = config("\n".join(line for line in set_here if not line.startswith("pruned ")))
    assert found.faults == ()
    assert len(found.values) == len(names) - 1
    assert config(example_config()).values == {}


def test_the_command_writes_and_shows_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "new"))
    run = CliRunner().invoke
    assert "There is no" in run(phier, ["config"]).stdout
    assert run(phier, ["config", "--write"]).exit_code == 0
    assert (config_folder() / "config.toml").read_text("utf-8") == run(phier, ["config", "--example"]).stdout
    assert run(phier, ["config", "--write"]).exit_code == 2
    write(ALL + "[wrong]\n")
    shown = run(phier, ["config"])
    assert "top-k = 3" in shown.stdout
    assert "[wrong] is not known here" in shown.stderr
    assert shown.exit_code == 2


def test_the_command_of_a_recording_does_not_depend_on_the_file() -> None:
    header = next(event.header for event in recorded_events(1) if isinstance(event, RunStarted))
    bare = command_line(header)
    assert bare
    assert "--no-config" not in bare
    write("[screen]\ntheme = 'light'\n")
    assert command_line(header) == bare
    write("[sampling]\ntemperature = 0.7\n")
    assert command_line(header) == f"{bare} --no-config"
