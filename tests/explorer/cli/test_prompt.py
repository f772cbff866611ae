"""`phier prompt` shows what the models would read, from the tokenizer alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from transformers import LlamaConfig

from explorer.cli.main import phier
from probes.models import locate as located
from probes.models.locate import locate
from probes.schema.spec import LOAD_DEFAULTS
from probes.system.progress import UNWATCHED
from tests.support.tiny import byte_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without weights."""
    place = tmp_path_factory.mktemp("model")
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<think>"])
    tokenizer.save_pretrained(place)
    LlamaConfig(num_hidden_layers=1).save_pretrained(place)
    return place


def prompt(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(phier, ["prompt", "--dense", str(folder), *words])


def test_the_tokens_are_listed_with_their_ids_and_kinds(folder: Path) -> None:
    ended = prompt(folder, "--system", "the", "--prompt", "a<think>", "--json")
    assert ended.exit_code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["text"] == "<|system|>the<|end|><|user|>a<think><|end|><|assistant|>"
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["<think>"])
    assert [one["token_id"] for one in found["tokens"]] == tokenizer(found["text"])["input_ids"]
    assert [one["token"] for one in found["tokens"] if one["kind"] == "added"] == ["<think>"]
    assert "".join(one["token"] for one in found["tokens"]) == found["text"]
    kinds = [one["token"] for one in found["tokens"] if one["kind"] == "special"]
    assert kinds == ["<|system|>", "<|end|>", "<|user|>", "<|end|>", "<|assistant|>"]


def test_the_table_begins_with_the_text_and_says_how_many_tokens_there_are(folder: Path) -> None:
    ended = prompt(folder, "--prompt", "a\x1b[31m", "--template-arg", "thinking=false")
    first, *rest = ended.stdout.splitlines()
    assert first == "<|user|>a\\x1b[31m<|end|><|assistant|>"
    assert "9 tokens, 3 of them special" in rest
    assert rest[2].split() == ["1", "1", "“<|user|>”", "special"]
    assert "thinking=false has no effect" in ended.stderr


def test_a_text_to_score_follows_the_prompt(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "page.txt").write_text("the ab")
    ended = prompt(folder, "--prompt", "a", "--follow", "text", "--text-file", str(tmp_path / "page.txt"))
    assert "4 tokens, 3 of them special; 6 of the text to score follow" in ended.stdout
    assert ended.stdout.splitlines()[-1].split()[0] == "10"


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    LlamaConfig(num_hidden_layers=1).save_pretrained(tmp_path)
    ended = prompt(tmp_path, "--prompt", "a")
    assert ended.exit_code == 2
    assert "No tokenizer" in ended.stderr


def test_the_weights_of_a_hubs_model_stay_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def fetch(_name: str, *, allow_patterns: list[str], **_: object) -> str:
        asked.append(allow_patterns)
        return str(tmp_path)

    monkeypatch.setattr(located, "snapshot_download", fetch)
    for weights in (False, True):
        locate("some/model", LOAD_DEFAULTS, UNWATCHED, gguf_dtype="float32", weights=weights)
    assert ["*.safetensors" in patterns for patterns in asked] == [False, True]
