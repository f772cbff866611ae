"""Options come from dataclasses: what is typed reaches them whole, and the help says what they say."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from explorer.cli.examples import EXAMPLES
from explorer.cli.main import phier, phier_tui
from explorer.cli.options import ShellCommand, Typed, option_names, takes
from explorer.cli.read_options import pair_spec, run_settings
from explorer.state.typed_history import TypedHistory
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE
from probes.calibration.samples import LENGTH, SAMPLES
from probes.schema.conversation import TemplateArg, Turn
from probes.schema.option import option_of
from probes.schema.prompt_source import PromptSource
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec


def typed(*words: str) -> tuple[RunSettings, PairSpec]:
    """The options that a command reads from these words. Raises what the command raises."""
    made: list[tuple[RunSettings, PairSpec]] = []

    @click.command(cls=ShellCommand)
    @takes(PairSpec)
    @takes(RunSettings)
    @takes(PromptSource)
    def made_of(typed: Typed) -> None:
        made.append((run_settings(typed), pair_spec(typed)))

    ended = CliRunner().invoke(made_of, list(words))
    assert ended.exit_code == 0, ended.stderr
    return made[0]


def help_of(*words: str) -> str:
    program = phier if words[0] == "phier" else phier_tui
    shown = CliRunner().invoke(program, [*words[1:], "--help"], env={"COLUMNS": "1000"})
    assert shown.exit_code == 0
    return " ".join(shown.stdout.split())


def test_without_a_word_every_dataclass_keeps_its_defaults() -> None:
    assert typed() == (RunSettings(DEFAULT_PROMPT), PairSpec(prune=parse(DEFAULT_PRUNE)))


def test_every_option_reaches_its_field() -> None:
    settings, spec = typed(
        *("--dense", "a", "--prune", "random:0.5", "--device", "cuda:1", "--dtype", "float16", "--device-map", "auto"),
        *("--trust-remote-code", "--allow-pickle", "--threads", "1", "--prune-seed", "7"),
        *("--prompt", "Hi", "--raw", "--follow", "free", "--steps", "9", "--analysis-temperature", "2"),
        *("--temperature", "0.5", "--top-k", "3", "--top-p", "0.75", "--seed", "4"),
    )
    assert settings == RunSettings(
        "Hi", raw=True, follow=Follow.FREE, steps=9, analysis_temperature=2.0, sampling=Sampling(0.5, 3, 0.75, 4)
    )
    assert spec == PairSpec(
        "a",
        prune=parse("random:0.5"),
        calibration=CalibrationSpec(seed=7),
        load=LoadOptions("cuda:1", "float16", "auto", True, True, 1),
    )
    _, spec = typed("--calibration", "self", "--samples", "2", "--length", "5")
    assert spec.calibration == CalibrationSpec("self", 2, 5)
    settings, _ = typed("--follow", "text", "--text", "read this", "--chat-template", "short")
    assert (settings.prompt, settings.text, settings.chat_template) == ("", "read this", "short")


def test_a_field_without_an_option_is_one_that_no_command_sets() -> None:
    silent = {
        f"{kind.__name__}.{field.name}"
        for kind in (PairSpec, LoadOptions, CalibrationSpec, RunSettings, Sampling)
        for field in fields(kind)
        if option_of(field) is None
    }
    assert silent == {"PairSpec.calibration", "PairSpec.load", "RunSettings.sampling", "RunSettings.top"}


@pytest.mark.parametrize("words", [("phier", "run"), ("phier", "prune"), ("phier-tui",)], ids=" ".join)
def test_the_seed_of_pruning_has_one_name(words: tuple[str, ...]) -> None:
    shown = help_of(*words)
    assert "--prune-seed INTEGER The seed of pruning" in shown
    assert "--calibration-seed" not in shown
    assert ("--seed" in shown) == (words != ("phier", "prune"))


def test_its_older_names_still_work() -> None:
    assert typed("--calibration-seed", "3")[1].calibration.seed == 3
    (option,) = (one for one in phier.commands["prune"].params if one.name == "prune_seed")
    assert option.opts == ["--prune-seed", "--calibration-seed", "--seed"]


def test_the_defaults_that_the_help_names_are_those_in_use() -> None:
    shown = help_of("phier", "run")
    assert f"[default: {DEFAULT_PRUNE}, unless --pruned is given]" in shown
    assert f"Calibration samples. [default: {SAMPLES}]" in shown
    assert f"Tokens in a calibration sample. [default: {LENGTH}]" in shown
    assert "--dense TEXT The dense model: demo, a hub id, a folder or a .gguf file. [default: demo]" in shown


def test_the_help_has_a_heading_for_each_dataclass() -> None:
    for words in (("phier", "run"), ("phier-tui",)):
        shown = CliRunner().invoke(phier if words[0] == "phier" else phier_tui, [*words[1:], "--help"]).stdout
        headings = [line.removesuffix(":") for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
        assert [one for one in headings if one not in ("Arguments", "Browser", "Recording", "Screen")] == [
            "Examples", "Models", *(["Options"] if words[0] == "phier" else []), "Run", "Sampling", "Calibration",
            "Loading", "Every command",
        ]  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_begins_with_examples_that_are_understood(name: str) -> None:
    """On the first screen of a small terminal are the examples and the models, or what else the command is about."""
    command = phier_tui if name == "phier-tui" else phier.commands[name]
    for line in EXAMPLES[name]:
        words = shlex.split(line)[1 if name == "phier-tui" else 2 :]
        with command.make_context(name, words) as context:
            assert context.params
    first = command.get_help(click.Context(command, info_name=name, terminal_width=80)).splitlines()[:24]
    assert {f"  {line}" for line in EXAMPLES[name]} <= {*first}
    assert len([one for one in first if one.startswith("  --") or "  FILE" in one or "  WHAT" in one]) >= 1


def test_the_list_of_commands_is_in_whole_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal of 80 columns, which is two columns narrower than what click's runner writes to."""
    monkeypatch.setenv("COLUMNS", "80")
    listed = phier.get_help(click.Context(phier, info_name="phier")).split("Commands:")[1]
    assert "run" in listed
    assert "..." not in listed


def test_names_on_the_command_line_are_told_by_the_dataclass() -> None:
    assert option_names(CalibrationSpec) == ("calibration", "samples", "length", "prune_seed")


def test_a_conversation_is_put_together_from_its_options(tmp_path: Path) -> None:
    settings, _ = typed(
        *("--system", "Be brief", "--turn", "user=Hi", "--turn", "assistant=1=1", "--prompt", "Why?"),
        *("--begun", "Because", "--template-arg", "enable_thinking=false", "--template-arg", "effort=low"),
    )
    assert settings == RunSettings(
        "Why?",
        turns=(Turn("system", "Be brief"), Turn("user", "Hi"), Turn("assistant", "1=1")),
        begun="Because",
        template_args=(TemplateArg("enable_thinking", False), TemplateArg("effort", "low")),
    )
    prompts, text = tmp_path / "prompts.txt", tmp_path / "text.txt"
    prompts.write_text("one\ntwo\n")
    text.write_text("\ufeffread this\n")
    settings, _ = typed("--prompt-file", f"{prompts}#2", "--system", "Be brief")
    assert settings == RunSettings("two", turns=(Turn("system", "Be brief"),))
    settings, _ = typed("--follow", "text", "--text-file", str(text))
    assert (settings.prompt, settings.text) == ("", "read this\n")
    settings, _ = typed("--follow", "text", "--text", "read this", "--system", "Be brief")
    assert settings.prompt == DEFAULT_PROMPT


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--text-file", "a"), "--text-file needs --follow text"),
        (("--follow", "text", "--text", "a", "--text-file", "b"), "both give the text"),
        (("--prompt-file", "-", "--follow", "text", "--text-file", "-"), "both --prompt-file and --text-file"),
        (("--prompt-file", "a", "--prompt", "b"), "--prompt has no effect beside --prompt-file"),
        (("--turn", "user"), "is no turn"),
        (("--turn", "user= "), "is no turn"),
        (("--template-arg", "thinking"), "has no = sign"),
        (("--raw", "--system", "Be brief"), "raw prompt uses no chat template"),
        (("--raw", "--template-arg", "a=1"), "raw prompt uses no chat template"),
        (("--system", "a", "--prompt", " "), "the user's prompt is empty"),
    ],
)
def test_options_of_a_conversation_that_exclude_each_other(words: tuple[str, ...], sentence: str) -> None:
    ended = CliRunner().invoke(phier, ["run", *words])
    assert ended.exit_code == 2
    assert sentence in " ".join(ended.stderr.split())


def test_the_explorer_begins_with_the_first_of_many_prompts_and_offers_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts.txt").write_text("one\ntwo\n")
    begun: list[RunSettings] = []
    monkeypatch.setattr("explorer.cli.explore._use_the_terminal", lambda: None)
    monkeypatch.setattr("explorer.sources.launcher.ModelLauncher.__init__", lambda _, __, run, *___: begun.append(run))
    monkeypatch.setattr("explorer.sources.launcher.ModelLauncher.begin", lambda _: None)
    monkeypatch.setattr("explorer.sources.launcher.ModelLauncher.recording", None)
    monkeypatch.setattr("explorer.ui.app.run_explorer", lambda *_, **__: 0)
    ended = CliRunner().invoke(phier_tui, ["--prompt-file", "prompts.txt"])
    assert ended.exit_code == 0, ended.output
    assert [settings.prompt for settings in begun] == ["one"]
    assert TypedHistory().entries("file") == (str(tmp_path / "prompts.txt"),)
    ended = CliRunner().invoke(phier, ["run", "--prompt-file", "prompts.txt"])
    assert "holds 2 prompts" in ended.stderr
