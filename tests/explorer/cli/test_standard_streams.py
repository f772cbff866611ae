"""Standard output in any encoding, on a full disk, closed, or with a reader that goes: never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from explorer.recordings.shipped import shipped_folder
from probes.recording import read
from tests.support.forked import with_torch, without_torch
from tests.support.tiny import byte_tokenizer, save, tiny

MILD = str(shipped_folder() / "mild.jsonl")
COLLAPSE = str(shipped_folder() / "collapse.jsonl")
FULL = Path("/dev/full")
PLAIN = [
    ["--help"],
    ["run", "--help"],
    ["recordings"],
    ["recordings", "Σ no such recording"],
    ["compare", MILD, COLLAPSE],
    ["compare", "--json", MILD, COLLAPSE],
    ["export", MILD, "--to", "jsonl", "--out", "exported/"],
]
"""Commands that need no model, and those below with one; `phier run` is tried with and without --json."""
CODE = """
import json, sys
from explorer.cli.main import phier, phier_tui
for arguments in json.loads(sys.argv[1]):
    program = phier_tui if arguments[0] == "phier-tui" else phier
    try:
        program(arguments[program is phier_tui:])
        code = 0
    except SystemExit as end:
        code = end.code or 0
    print("code", code, " ".join(arguments), file=sys.stderr, flush=True)
"""


def run(
    commands: list[list[str]], folder: Path, encoding: str = "utf-8", **streams: Any
) -> tuple[subprocess.CompletedProcess[bytes], list[int]]:
    """All commands in one program, and how each of them ended."""
    settings = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "PHIER_CACHE": str(folder / "cache"),
        "PHIER_RECORDINGS": str(folder / "sessions"),
    }
    ended = with_torch().run(CODE, json.dumps(commands), cwd=folder, env=settings, **streams)
    assert b"Traceback" not in (ended.stderr or b""), ended.stderr.decode("utf-8", "replace")
    codes = [int(line.split()[1]) for line in (ended.stderr or b"").splitlines() if line.startswith(b"code ")]
    assert ended.returncode == 0
    return ended, codes


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    tokenizer = byte_tokenizer()
    folder = tmp_path_factory.mktemp("model")
    return str(save(folder, tiny("llama", vocab_size=len(tokenizer)), tokenizer))


def with_model(model: str) -> list[list[str]]:
    setting = ["--dense", model, "--prune", "magnitude:0.5"]
    return [
        ["run", *setting, "--steps", "2", "--prompt", "Σ é 猫", "--record", "table.jsonl"],
        ["run", *setting, "--steps", "2", "--json", "--record", "lines.jsonl"],
        ["prune", *setting, "--out", "pruned"],
        ["inspect", "pruned", "--against", model],
        ["bench", "methods", *setting, "--steps", "2"],
    ]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_characters_that_an_encoding_lacks_are_replaced(encoding, tmp_path):
    ended, codes = run([*PLAIN, ["phier-tui", "--help"]], tmp_path, encoding)
    assert codes == [0] * (len(PLAIN) + 1)
    assert b"?KL" in ended.stdout  # ΣKL in the heading of the recordings


def test_one_that_has_them_all_shows_them(tmp_path):
    assert "ΣKL" in run([["recordings"]], tmp_path)[0].stdout.decode()


def test_commands_with_models_print_in_any_encoding(model, tmp_path):
    ended, codes = run(with_model(model), tmp_path, "cp1252")
    assert codes == [0] * 5, ended.stderr
    ended.stdout.decode("utf-8", "replace")
    assert read(tmp_path / "table.jsonl").last.header.settings.prompt == "Σ é 猫"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
class TestOnAFullDisk:
    def test_every_command_says_so_in_a_sentence_and_ends_with_1(self, tmp_path):
        commands = [*PLAIN, ["phier-tui", "--help"]]
        with FULL.open("wb") as full:
            ended, codes = run(commands, tmp_path, stdout=full)
        assert codes == [1] * len(commands)
        said = "Standard output could not be written (No space left on device)"
        assert ended.stderr.decode().count(said) == len(commands)

    def test_a_recording_and_a_saved_folder_stay_whole(self, model, tmp_path):
        with FULL.open("wb") as full:
            ended, codes = run(with_model(model), tmp_path, stdout=full)
        assert codes == [1] * 5, ended.stderr
        for name in ("table.jsonl", "lines.jsonl"):
            lines = (tmp_path / name).read_bytes()
            assert lines.endswith(b"\n")
            kinds = [json.loads(line)["kind"] for line in lines.splitlines()]
            assert kinds[0] == "header"
        assert (tmp_path / "pruned" / "model.safetensors").exists()

    def test_errors_that_can_be_told_nowhere_leave_the_exit_code(self, tmp_path):
        with FULL.open("wb") as full:
            program = "from explorer.cli.main import phier; phier(['compare', 'no-such-file'])"
            assert without_torch().run(program, cwd=tmp_path, stderr=full).returncode == 2


def test_a_reader_that_goes_ends_a_command_in_silence(tmp_path):
    for arguments in (["compare", "--json", MILD, COLLAPSE], ["recordings"], ["--help"]):
        reads, writes = os.pipe()
        os.close(reads)
        ended, codes = run([arguments], tmp_path, stdout=writes)
        os.close(writes)
        assert codes == [0]
        assert ended.stderr.decode().splitlines() == [f"code 0 {' '.join(arguments)}"]


def test_closed_streams_are_no_place_for_files_that_are_opened_later(tmp_path):
    """A recording that got the number of standard output would be written into by everything that prints."""
    code = (
        "import os; [os.close(n) for n in range(3)]\n"
        "import sys; sys.stdin = sys.stdout = sys.stderr = None\n"
        "from explorer.cli.standard_streams import safe_streams\n"
        "with safe_streams():\n"
        f"    file = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "    print('not in there', flush=True); sys.stderr.write('nor this'); sys.stdin.read()\n"
        "    os.write(file, str(file).encode())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    assert int((tmp_path / "file").read_text()) > 2


def test_a_prompt_that_is_no_text_is_refused(tmp_path):
    program = "from explorer.cli.main import phier; phier(['run', '--prompt', '-'])"
    ended = without_torch().run(program, input=b"\xff\xfe", env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert ended.returncode == 2
    assert b"It is not utf-8 text (byte 0)" in ended.stderr
