"""The program on a GPU, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch


def phier(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from explorer.cli.main import phier; phier()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=False
    )


def test_a_run_is_recorded_and_goes_on_from_its_recording(large: Path, device: torch.device, tmp_path: Path) -> None:
    where = ("--device", device.type, "--dtype", "bfloat16")
    answer = phier(
        "run", "--dense", str(large), "--prune", "wanda:0.5", "--samples", "4", "--length", "32",
        "--prompt", "the king", "--follow", "free", "--steps", "6", "--json",
        "--record", str(tmp_path / "run.jsonl"), *where,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    *steps, last = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5, 6]
    assert last["dense"]["device"] == ("cpu" if device.type == "cpu" else "cuda:0")
    assert last["summary"]["steps"] == 6
