"""The lines for Python and the shell in the README and in docs/ run as they are written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from explorer.cli.main import phier, phier_tui
from tests.support.documents import (
    OTHERS,
    ROOT,
    SHELL,
    Line,
    blocks,
    command_lines,
    name_of_page,
    pages,
    python_blocks,
    spans,
)
from tests.support.forked import with_torch
from tests.support.records import of_run, recorded_events, write_events
from tests.support.tiny import byte_tokenizer, save, tiny

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LINES = tuple({line.words: line for line in command_lines()}.values())
ELSEWHERE = ("--scheduler", "--device", "--device-map", "--overlap", "--harness")
"""Options of commands that need more than this machine: their other options are read, and nothing is run."""


def named(line: Line) -> str:
    return line.text


def commands_of(words: tuple[str, ...]) -> tuple[click.Command, list[str]]:
    """The command of the program, and its arguments."""
    program, *arguments = words
    return (phier.commands[arguments.pop(0)], arguments) if program == "phier" else (phier_tui, arguments)


def is_general(arguments: list[str]) -> bool:
    """Does it only print help or the version?"""
    return any(word in ("--help", "--version") for word in arguments)


@pytest.mark.parametrize("line", [one for one in LINES if one.words[0] in ("phier", "phier-tui")], ids=named)
def test_the_options_of_every_command_exist(line: Line) -> None:
    if line.words in (("phier", "--version"), ("phier", "--help")):
        return
    command, arguments = commands_of(line.words)
    if not is_general(arguments):
        command.make_context(line.words[0], arguments)


def test_every_command_of_other_programs_is_one_that_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    extras = set(PROJECT["optional-dependencies"])
    for line in LINES:
        program, *arguments = line.words
        if program == "make":
            assert {word for word in arguments if "=" not in word and not word.startswith("-")} <= targets, line
        elif program == "pip":
            assert set(re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*?)\]", line.text)))) <= extras, line
        elif program == "python":
            assert arguments[0] in ("-m", "-c") or (ROOT / arguments[0]).is_file(), line
        elif program == "torchrun":
            command, rest = commands_of(line.words[line.words.index("phier") :])
            command.make_context("phier", rest)
        elif program == "dask":
            from distributed.cli import dask_scheduler, dask_worker

            found = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[arguments[0]]
            found.make_context("dask", [word.replace("HOST", "127.0.0.1") for word in arguments[1:]])
        else:
            assert program in ("phier", "phier-tui", *OTHERS), line


def test_every_command_and_option_in_a_sentence_exists() -> None:
    checked = 0
    for page in pages():
        for text in spans(page):
            program, *arguments = text.split()
            if program == "phier" and not (arguments[0].isalpha() and arguments[0].islower()):
                continue  # an ellipsis, or an option of all
            command, arguments = commands_of((program, *arguments))
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            options = {re.split(r"[=|]", word)[0].rstrip(".,;:") for word in arguments if word.startswith("--")}
            assert options <= known | {"--help", "--version"}, f"{name_of_page(page)}: {text}"
            checked += 1
    assert checked > 20


def test_the_python_example_prints_figures_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    (example,) = python_blocks(ROOT / "README.md")
    folder = save(tmp_path / "model", tiny("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer())
    assert 'dense="demo"' in example
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example.replace('dense="demo"', f"dense={str(folder)!r}"), {})
    rows = [[float(cell) for cell in line.split()] for line in printed.getvalue().splitlines()]
    assert [row[0] for row in rows] == list(range(1, 21))
    assert all(len(row) == 4 and -1 <= row[1] <= 1 and row[2] >= 0 and 0 <= row[3] <= 1 for row in rows)
    assert any(row[2] > 0 for row in rows)


RUN_BY_OTHER_TESTS = ("README.md", "sessions/README.md", "docs/sweep.md")
"""Pages whose programs have tests of what they print."""
NEEDS_A_CLUSTER = ("docs/cluster.md",)
"""Pages whose programs are only compiled."""
PROGRAMMED = [page for page in pages() if python_blocks(page) and name_of_page(page) not in RUN_BY_OTHER_TESTS]


@pytest.mark.parametrize("page", PROGRAMMED, ids=name_of_page)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, with a model of random weights in the place of the demo model."""
    texts = [text.replace('dense="demo", ', "") for text in python_blocks(page)]
    texts = [text.replace("PairSpec(", "PairSpec(dense='model', ") for text in texts]
    programs = [compile(text, name_of_page(page), "exec") for text in texts]
    if name_of_page(page) in NEEDS_A_CLUSTER:
        return
    save(tmp_path / "model", tiny("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer())
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(SAMPLES["wiki.txt"])
    (tmp_path / "sessions").symlink_to(ROOT / "sessions")
    printed, names = io.StringIO(), dict[str, object]()
    with contextlib.redirect_stdout(printed):
        for program in programs:
            exec(program, names)
    assert printed.getvalue().strip()


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
STAND_INS = {
    "demo": "models/demo",
    "MODEL": "models/demo",
    "DIR": "models/demo",
    "SETTING": "wanda:0.5",
    "facts": "mine.jsonl",
}
SAMPLES = {
    "mine.jsonl": '{"question": "Which animal sat on the mat?", "choices": ["the cow", "a cat"], "answer": 1}',
    **dict.fromkeys(("page.txt", "book.txt", "notes/page.txt"), "the cat sat on the mat"),
    "wiki.txt": "the cat sat on the mat. " * 40,
    "talk.json": '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]',
    "prompts.jsonl": '{"text": "the cat sat on the mat"}',
}
"""The files that the pages take for granted, with their text."""


def to_run() -> Iterator[list[str]]:
    """The arguments of one `phier` command of each shape: the same command with the same options is run once.

    Models of random weights take the place of the demo model, and few items that of the tasks that ship.
    """
    shapes = set()
    for line in LINES:
        program, *arguments = line.words
        general = not arguments or arguments[0].startswith("-") or is_general(arguments)
        if program != "phier" or general or any(word in ELSEWHERE for word in arguments):
            continue
        shape = (arguments[0], *sorted({word for word in arguments[1:] if word.startswith("-")}))
        if arguments[0] == "bench" or (shape in shapes and line.page != "README.md"):
            continue  # a benchmark takes minutes, and has tests of its own
        shapes.add(shape)
        arguments = [STAND_INS.get(word, word) for word in arguments]
        if arguments[0] == "verdict" and "--tasks" not in arguments:  # the tasks that ship take minutes
            arguments += ["--tasks", "mine.jsonl"]
        if arguments[0] == "recommend":  # the whole search has tests of its own
            arguments += ["--trials", "1", "--methods", "magnitude"]
        if arguments[0] == "repair":  # models of random weights differ too little for more
            arguments += ["--target-kl", "0.001"]
        made_here = arguments[0] != "sweep" or "--settings" in arguments
        if arguments[0] == "sweep" and made_here:
            arguments += ["--tasks", "mine.jsonl"]
        if arguments[0] in LOADING and made_here and "--dense" not in arguments and "--reference" not in arguments:
            deep = any(text in line.text for text in ("layers=", "drop-attn:{"))
            arguments += ["--dense", "models/deep" if deep else "models/demo"]
        yield arguments


@pytest.mark.slow
def test_every_command_of_the_shell_runs(tmp_path: Path) -> None:
    """In one program, with models of random weights in the place of the demo model; the screens are run elsewhere."""
    for name, layers in (("demo", 2), ("deep", 25)):
        model = tiny("llama", vocab_size=len(byte_tokenizer()), num_hidden_layers=layers)
        save(tmp_path / "models" / name, model, byte_tokenizer())
    write_events(tmp_path / "FILE", [*recorded_events(20), *of_run(2, recorded_events(20, setting="wanda:0.2"))])
    for folder in ("notes", "sessions"):
        (tmp_path / folder).mkdir()
    for name, text in SAMPLES.items():
        (tmp_path / name).write_text(text)
    lines = list(to_run())
    assert len(lines) >= 9
    environment = {**os.environ, "PHIER_CACHE": str(tmp_path / "cache")}
    environment |= {name: str(tmp_path / name) for name in ("PHIER_RECORDINGS", "PHIER_CONFIG")}
    done = with_torch().run(IN_TURN, json.dumps(lines), cwd=tmp_path, env=environment)
    said = done.stderr.decode()
    ended = [line.split()[1] for line in said.splitlines() if line.startswith("ended")]
    assert done.returncode == 0, said
    assert ended == ["0"] * len(lines), said
    assert (tmp_path / "pruned" / "model.safetensors").exists()
    assert list(tmp_path.glob("*.html"))


def test_every_block_is_of_a_language_that_is_checked() -> None:
    checked = {*SHELL, "python", "pycon", "json", "jsonl", "toml", "text"}
    for page in pages():
        assert {language for language, _ in blocks(page)} <= checked, name_of_page(page)
