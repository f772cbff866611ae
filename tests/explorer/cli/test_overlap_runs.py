"""`phier run` prints and records the same however the two passes of a step overlap."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from explorer.cli.main import phier
from probes.recording import read
from probes.schema.record import StepRecord
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    return save(tmp_path_factory.mktemp("model"), tiny("llama", vocab_size=len(tokenizer)), tokenizer)


def test_the_rows_and_the_records_of_a_run_do_not_depend_on_overlap(model: Path, tmp_path: Path) -> None:
    printed: list[list[str]] = []
    recorded: list[tuple[StepRecord, ...]] = []
    before = psutil.Process().children()
    for mode in ("none", "process"):
        file = tmp_path / f"{mode}.jsonl"
        words = ["run", "--dense", model, "--prune", "magnitude:0.6", "--prompt", "hello", "--raw", "--threads", 1]
        words += ["--follow", "free", "--steps", 12, "--overlap", mode, "--record", file, "--json"]
        answer = CliRunner().invoke(phier, [str(word) for word in words])
        assert answer.exit_code == 0, answer.stderr
        printed.append(answer.stdout.splitlines()[:12])
        recorded.append(tuple(read(file).run.path))
    assert printed[0] == printed[1]
    assert len(recorded[0]) == 12
    assert recorded[0] == recorded[1]
    assert psutil.Process().children() == before
