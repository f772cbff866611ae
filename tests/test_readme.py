"""What the README says can be done from Python and the shell, can be done."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from explorer.cli.main import phier, phier_tui
from tests.support.tiny import byte_tokenizer, save, tiny

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.split("#  ")[0].split(" # ")[0].strip()
    for block in re.findall(r"```\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("phier")
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
