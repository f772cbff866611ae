"""A run on a conversation is recorded so that the command of its header gives the same run again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from explorer.cli.main import phier
from explorer.sources.command_line import command_line
from probes.recording import RecordedRun, read
from probes.schema.conversation import TemplateArg, Turn
from tests.support.tiny import CHAT_TEMPLATE, byte_tokenizer, save, tiny


def test_the_command_of_a_recording_gives_the_same_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT_TEMPLATE + "{% if not thinking %}<off>{% endif %}"
    model = save(tmp_path / "model", tiny("llama", vocab_size=len(tokenizer)), tokenizer)

    def steps_of(name: str, *words: str) -> RecordedRun:
        more = ("--threads", "1", "--overlap", "none", "--steps", "3", "--record", str(tmp_path / name), "--json")
        ended = CliRunner().invoke(phier, ["run", *words, *more])
        assert ended.exit_code == 0, ended.output
        return read(tmp_path / name).last

    first = steps_of(
        "first.jsonl",
        *("--dense", str(model), "--prune", "magnitude:0.5", "--system", "be brief", "--turn", "user=the cat\n"),
        *("--turn", "assistant= 'sat' ", "--prompt", "why", "--begun", "the ", "--template-arg", "thinking=false"),
    )
    header = first.header
    assert header.settings.turns == (
        Turn("system", "be brief"),
        Turn("user", "the cat\n"),
        Turn("assistant", " 'sat' "),
    )
    assert header.settings.template_args == (TemplateArg("thinking", False),)
    assert header.prompt_text.endswith("<|user|>why<|end|><|assistant|><off>the ")
    program, *words = shlex.split(command_line(header))
    assert program == "phier-tui"
    again = steps_of("again.jsonl", *words)
    assert again.header.prompt_ids == header.prompt_ids
    assert again.path == first.path
