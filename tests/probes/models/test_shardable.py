"""What several processes of torchrun can't do with a model is refused in a sentence before any weight is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.cli.main import phier
from probes.models.loaded import load
from probes.schema.errors import BadInput
from probes.schema.spec import LoadOptions
from probes.system.ranks import own_file, rank, ranks
from probes.tasks.reference_scoring import load_alone
from tests.support.prune_models import TOKENIZER
from tests.support.tiny import save, tiny


@pytest.fixture(autouse=True)
def _second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("architecture", "changes", "sentence"),
    [
        ("gpt2", {}, "no tensor-parallel plan for gpt2"),
        ("llama", {"num_key_value_heads": 1}, "1 key and value heads of .* don't divide by 2 processes"),
        (
            "llama",
            {"hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 3},
            "3 attention heads of .* don't divide by 2 processes. Start 3 processes",
        ),
    ],
)
def test_a_model_that_can_not_be_sharded_is_refused(
    architecture: str, changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", tiny(architecture, vocab_size=len(TOKENIZER), **changes), TOKENIZER)
    for weights in folder.glob("*.safetensors"):
        whole = weights.read_bytes()
        weights.write_bytes(whole[: len(whole) - 4])  # reading it would be another error
    with pytest.raises(BadInput, match=sentence):
        load(str(folder))


@pytest.mark.parametrize("command", ["explain", "repair", "prune --prune wanda:0.5 --out X", "search X", "inspect X"])
def test_commands_that_need_whole_weights_are_refused(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SystemExit) as ended:
        phier.main(command.split())
    assert ended.value.code == 2
    assert "can't be done with a model that is sharded over 2 processes" in capsys.readouterr().err


def test_scoring_against_a_saved_reference_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Scoring against a reference can't be done"):
        load_alone(str(tmp_path / "never read"), LoadOptions())


def test_another_process_writes_to_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.jsonl"
    file.write_text("a line\n")
    copy = own_file(file)
    assert (ranks(), rank()) == (2, 1)
    assert copy is not None
    assert copy != file
    assert copy.read_text() == "a line\n"
    begun = own_file(file, new=True)
    assert begun is not None
    assert not begun.exists()
    monkeypatch.setenv("RANK", "0")
    assert own_file(file) == file
