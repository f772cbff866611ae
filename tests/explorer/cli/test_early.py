"""Mistakes on the command line: told before torch is loaded, with what was meant, and no option ignored in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from explorer.recordings.opening import open_recording
from explorer.recordings.shipped import shipped_folder
from probes.schema.errors import BadInput

MILD = str(shipped_folder() / "mild.jsonl")
CODE = """
import json, sys
from explorer.cli.main import phier, phier_tui
for program, *arguments in json.loads(sys.argv[1]):
    try:
        (phier_tui if program == "phier-tui" else phier)(arguments)
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print(f"\\n=={code}==", file=sys.stderr, flush=True)
print("heavy:", sorted({"torch", "transformers", "huggingface_hub"} & sys.modules.keys()))
"""
CHEAP = {
    "run --dense models/tny": "There is no file or folder models/tny. Did you mean models/tiny?",
    "run --dense ./modles/tiny": "no file or folder ./modles/tiny. Did you mean models?",
    "run --pruned ./models/tinyy": "Did you mean models/tiny?",
    "run --dense models": "models has no config.json; it holds tiny.",
    "run --dense text.txt": "text.txt is a file, but not a .gguf file",
    f"run --dense ./{300 * 'x'}": "There is no file or folder ./xxx",
    f"run --calibration {300 * 'x'}": "There is no file xxx",
    "run --device cdua": "'cdua' is not a device. Did you mean cuda?",
    "run --dtype bfloat": "'bfloat' is not a supported dtype. Did you mean bfloat16?",
    "run --device-map atuo": "'atuo' is not a device map. Did you mean auto?",
    "run --device cpu --device-map auto": "--device and --device-map exclude each other",
    "run --calibration text.tx": "There is no file text.tx. Did you mean text.txt?",
    "run --prune wanda:table=text.tx": "text.tx can't be read: there is no such file. Did you mean text.txt?",
    "run --record text.txt": "text.txt exists already, and a recording is never overwritten",
    "run --dense models/tiny --prune drop-attn@layers=1,40": "names layer 40, and models/tiny has 3 layers",
    "run --prune wanda:0.5@layers=28-31": "names layer 30-31, and demo has 30 layers. Layers count from 0 to 29.",
    "run --prune wnda:0.5": "'wnda' is not a method. Did you mean wanda?",
    "run --prune wanda:0.5@layer=3": "Did you mean layers?",
    "run --threads 100000": "100000 threads can't be used",
    "bench step": "Unknown benchmark 'step'. Did you mean steps?",
    "bench methods --prune magnitude:0.5 --prune wnda:0.5": "Did you mean wanda?",
    "bench --dense models/tny": "Did you mean models/tiny?",
    "prune --prune wanda:0.5 --out models": "models is not empty",
    "prune --prune wanda:0.5 --out new --dense models/tny": "Did you mean models/tiny?",
    "inspect ./models/tny": "Did you mean models/tiny?",
    "inspect models/tiny --against models/tny": "Did you mean models/tiny?",
    "inspect models/tiny --device gpu": "'gpu' is not a device",
    "phier-tui --dense models/tny": "Did you mean models/tiny?",
}
IGNORED = {
    "run --prune=": "--prune is empty",
    "run --session=": "--record is empty",
    "run --dense=": "--dense is empty",
    "run --pruned models/tiny --calibration=": "--calibration is empty",
    "inspect models/tiny --against=": "--against is empty",
    "run --top-k 5": "--top-k has no effect at temperature 0",
    "run --top-p 0.5 --top-k 5": "--top-k and --top-p have no effect at temperature 0",
    "run --prune magnitude:0.5 --samples 4": "--samples has no effect on magnitude:0.5, which is not calibrated",
    "run --prune drop-attn@layers=2 --calibration text.txt": "--calibration has no effect on drop-attn@layers=2",
    "run --pruned models/tiny --calibration-seed 3": "--prune-seed has no effect without --prune",
    "prune --prune magnitude:0.5 --out new --seed 3": "--prune-seed has no effect on magnitude:0.5",
    "phier-tui --demo --dense models/tiny": "--dense has no effect on a recording",
    f"phier-tui {MILD} --prune wanda:0.5 --steps 3": "--prune and --steps have no effect on a recording",
    f"phier-tui {MILD}#1 --run 1": "mild.jsonl#1 names a run, and so does --run 1",
    f"phier-tui {MILD} --speed nan": "A speed of nan is not possible",
    f"phier-tui {MILD} --speed inf": "A speed of inf is not possible",
    f"export {MILD} --to csv --out=": "--out is empty",
    "phier-tui --speed 4": "--speed has no effect without a recording",
    "phier-tui --loop --play --recordings": "--play and --loop have no effect without a recording",
    "phier-tui --prune=": "--prune is empty",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> tuple[dict[str, tuple[int, str]], str]:
    """How each command ended and what it said, and what was loaded at the end of all."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "models" / "tiny").mkdir(parents=True)
    (folder / "models" / "tiny" / "config.json").write_text('{"num_hidden_layers": 3}')
    (folder / "text.txt").write_text("a text")
    lines = [*CHEAP, *IGNORED]
    commands = [line.split() if line.startswith("phier-tui") else ["phier", *line.split()] for line in lines]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "Traceback" not in ended.stderr
    found: dict[str, tuple[int, str]] = {}
    said = ended.stderr
    for line in lines:
        words, _, said = said.partition("\n==")
        code, _, said = said.partition("==\n")
        found[line] = (int(code), words)
    return found, ended.stdout


@pytest.mark.parametrize("line", [*CHEAP, *IGNORED])
def test_a_mistake_is_a_sentence_and_exit_code_2(answers, line):
    code, said = answers[0][line]
    assert {**CHEAP, **IGNORED}[line] in said
    assert code == 2


def test_all_of_them_are_told_before_anything_slow_is_loaded(answers):
    assert answers[1] == "heavy: []\n"


def test_a_recording_that_is_not_there_is_named_by_marks() -> None:
    with pytest.raises(BadInput) as problem:
        open_recording("no\x1b[31m.jsonl", None, demo=False, play=False, speed=None, loop=False)
    assert problem.value.message == "There is no recording no␛[31m.jsonl."


@pytest.mark.parametrize("program", ["phier", "phier_tui"])
def test_the_version_is_printed(program):
    code = f"import sys; from explorer.cli.main import {program}; {program}(['--version'])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout == f"{version('phier')}\n"
