"""The README's lines for Python and the shell run as they are written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.cli.main import phier, phier_tui
from tests.support.records import of_run, recorded_events, write_events
from tests.support.tiny import byte_tokenizer, save, tiny

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line.split(" # ")[0].strip()
    for language, block in BLOCKS
    for line in block.splitlines()
    if not language and line.startswith("phier")
]


def test_the_python_example_prints_figures_at_every_step(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    folder = save(tmp_path / "model", tiny("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer())
    assert 'dense="demo"' in EXAMPLE
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(EXAMPLE.replace('dense="demo"', f"dense={str(folder)!r}"), {})
    rows = [[float(cell) for cell in line.split()] for line in printed.getvalue().splitlines()]
    assert [row[0] for row in rows] == list(range(1, 21))
    assert all(len(row) == 4 and -1 <= row[1] <= 1 and row[2] >= 0 and 0 <= row[3] <= 1 for row in rows)
    assert any(row[2] > 0 for row in rows)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_options_of_every_command_exist(line):
    program, *arguments = shlex.split(line.split("<")[0])
    command = phier.commands[arguments.pop(0)] if program == "phier" else phier_tui
    command.make_context(program, arguments)


IN_TURN = """
import json, sys, traceback
from explorer.cli.main import phier
for arguments in json.loads(sys.argv[1]):
    sys.argv, sys.stdin = ["phier", *arguments], open("page.txt")
    try:
        phier()
    except SystemExit as end:
        print("ended", end.code or 0, *arguments, file=sys.stderr, flush=True)
"""
LOADING = {name for name, command in phier.commands.items() if any(option.name == "dense" for option in command.params)}
"""Commands that load the demo model if no other is named."""


@pytest.mark.slow
def test_every_command_of_the_shell_runs(tmp_path):
    """In one program, with models of random weights in the place of the demo model; the screens are run elsewhere."""
    for name, layers in (("demo", 2), ("deep", 24)):
        model = tiny("llama", vocab_size=len(byte_tokenizer()), num_hidden_layers=layers)
        save(tmp_path / "models" / name, model, byte_tokenizer())
    write_events(tmp_path / "FILE", [*recorded_events(20), *of_run(2, recorded_events(20, setting="wanda:0.2"))])
    (tmp_path / "notes").mkdir()
    for page in (tmp_path / "page.txt", tmp_path / "notes" / "page.txt"):
        page.write_text("the cat sat on the mat")
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    (tmp_path / "talk.json").write_text(json.dumps(talk))
    question = {"question": "Which animal sat on the mat?", "choices": ["the cow", "a cat"], "answer": 1}
    (tmp_path / "mine.jsonl").write_text(json.dumps(question))
    lines = []
    for line in COMMANDS:
        program, *arguments = shlex.split(line.split("<")[0])
        if program == "phier" and arguments[0] != "bench":  # which takes minutes, and has tests of its own
            arguments = ["models/demo" if word == "demo" else word for word in arguments]
            if arguments[0] == "verdict" and "--tasks" not in arguments:  # the tasks that ship take minutes
                arguments += ["--tasks", "mine.jsonl"]
            if arguments[0] == "recommend":  # the whole search has tests of its own
                arguments += ["--trials", "1", "--methods", "magnitude"]
            made_here = arguments[0] != "sweep" or "--settings" in arguments
            if arguments[0] == "sweep" and made_here:
                arguments += ["--tasks", "mine.jsonl"]
            arguments = ["mine.jsonl" if word == "facts" else word for word in arguments]
            if arguments[0] in LOADING and made_here:
                deep = "layers=20" in line or "drop-attn:{" in line
                arguments += ["--dense", "models/deep" if deep else "models/demo"]
            lines.append(arguments)
    assert len(lines) >= 9
    environment = {**os.environ, "PHIER_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IN_TURN, json.dumps(lines)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    ended = [line.split()[1] for line in done.stderr.splitlines() if line.startswith("ended")]
    assert ended == ["0"] * len(lines), done.stderr
    assert (tmp_path / "pruned" / "model.safetensors").exists()
    assert list(tmp_path.glob("*.html"))
