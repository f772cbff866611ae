"""No byte that acts on a terminal reaches it from any file of a model's folder, whatever is said about the folder."""

from __future__ import annotations

import json
import os
import pty
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.forked import with_torch
from tests.support.tiny import byte_tokenizer, save, tiny

HOSTILE = (
    "\x1b]0;evil\x07\x1b]8;;http://evil\x1b\\\x1b]52;c;ZXZpbA==\x07\x9b31m\x9d0;evil\x9c\u202eevil\u2066\x00\x08\x7f"
)
FORBIDDEN = [b"\x1b]", b"\x1b\\", b"\x07", b"\x00", b"\x08", b"\x7f"]
FORBIDDEN += [character.encode() for character in "\x9b\x9c\x9d\u202e\u2066"]
NAMED = HOSTILE.replace("\x00", "").replace("/", "")
"""As much of it as a file's name can hold."""


def strings(node: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where there is a value in a file's data; of a list, its first."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from strings(value, (*path, key))
    elif isinstance(node, list) and node:
        yield from strings(node[0], (*path, 0))
    else:
        yield path


def changed(node: object, path: tuple[str | int, ...], value: object) -> object:
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node) if isinstance(node, list) else node
    copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


def folders(root: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder at a time with what its files say, by name."""
    folder = save(root / "plain", tiny("llama", vocab_size=267, num_hidden_layers=1), byte_tokenizer())
    config = json.loads((folder / "config.json").read_text())
    more: dict[str, Any] = {
        "quantization_config": {"quant_method": "x", "format": "y"},
        "torch_dtype": "float32",
        "auto_map": {"a": "b"},
    }
    more |= {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}, "architectures": ["A"]}
    more |= {"drop_attn_list": [0], "sparsity_config": {"format": "dense"}, "layer_types": ["full_attention"]}
    for key in more:
        for path in strings({key: more[key]}):
            yield folder, {"config.json": json.dumps(changed({**config, key: more[key]}, path, HOSTILE))}
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        data = json.loads((folder / name).read_text())
        for path in strings(data):
            yield folder, {name: json.dumps(changed(data, path, HOSTILE))}
        yield folder, {name: json.dumps({**data, HOSTILE: HOSTILE})}
        yield folder, {name: HOSTILE}
    tokens = json.loads((folder / "tokenizer.json").read_text())
    for path in [
        ("model", "type"),
        ("version",),
        ("added_tokens", 0, "content"),
        ("decoder", "type"),
        ("model", "vocab"),
    ]:
        yield folder, {"tokenizer.json": json.dumps(changed(tokens, path, HOSTILE))}
    yield folder, {"chat_template.jinja": "{{ raise_exception(" + json.dumps(HOSTILE) + ") }}"}
    yield folder, {"chat_template.jinja": HOSTILE}
    yield folder, {"adapter_config.json": json.dumps({"base_model_name_or_path": HOSTILE})}
    said = {
        "setting": "wanda:0.5", "calibration": {"source": "s", "sha256": "", "samples": 1, "length": 1, "seed": None},
        "dense": {"name": "n", "spec": "s", "revision": "r", "fingerprint": "f", "architecture": "a", "layers": 1,
                  "hidden": 1, "vocabulary": 1, "parameters": 1, "dtype": "float32", "device": "cpu"},
        "mask_hash": "m", "dropped": ["attn 0"], "zeroed": 1, "targeted": 1, "fingerprint": "f", "versions": {"a": "b"},
        "written": "w",
    }  # fmt: skip
    for path in strings(said):
        yield folder, {"phier.json": json.dumps(changed(said, path, HOSTILE))}
    shards = shutil.copytree(folder, root / "shards")
    (shards / "model.safetensors").unlink()
    yield shards, {"model.safetensors.index.json": json.dumps({"weight_map": {HOSTILE: HOSTILE}, "metadata": {}})}
    weights = load_file(folder / "model.safetensors")
    names = shutil.copytree(folder, root / "names")
    save_file({**weights, NAMED: torch.zeros(2)}, names / "model.safetensors", {"format": "pt", "evil": NAMED})
    yield names, {}
    lost = shutil.copytree(folder, root / "lost")
    save_file({NAMED + name: tensor for name, tensor in weights.items()}, lost / "model.safetensors", {"format": "pt"})
    yield lost, {}
    pickled = shutil.copytree(folder, root / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({HOSTILE: torch.zeros(2)}, pickled / f"{NAMED}.bin")
    yield pickled, {}
    yield shutil.copytree(folder, root / NAMED), {}
    (root / f"{NAMED} empty").mkdir()
    (root / f"{NAMED} empty" / NAMED).write_text("")
    yield root / f"{NAMED} empty", {}
    yield root / f"{NAMED} absent", {}


DRIVER = """
    import json, sys
    from explorer.cli.main import phier
    for line in open(sys.argv[1]):
        folder, files = json.loads(line)
        from pathlib import Path
        before = {name: Path(folder, name).read_bytes() if Path(folder, name).exists() else None for name in files}
        for name, text in files.items():
            Path(folder, name).write_text(text)
        commands = [["inspect", folder]]
        if not files or "chat_template.jinja" in files:
            commands += [["run", "--dense", folder, "--pruned", folder, "--allow-pickle", "--steps", "1"]]
        for arguments in commands:
            print("=====", *files, flush=True)
            try:
                phier(arguments, standalone_mode=False)
            except SystemExit:
                pass
        for name, data in before.items():
            Path(folder, name).unlink() if data is None else Path(folder, name).write_bytes(data)
    print("all done", flush=True)
"""


def through_a_terminal(code: str, *arguments: str, **env: str) -> bytes:
    """The output of a Python program in a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", **env}
    begun = with_torch().start(
        textwrap.dedent(code), *arguments, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    with begun as process:
        os.close(theirs)
        got = bytearray()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:
                break
            if not data:
                break
            got += data
        os.close(ours)
        assert process.wait() == 0, got[-2000:]
    return bytes(got)


@pytest.mark.slow
def test_no_byte_of_a_folder_acts_on_the_terminal(tmp_path: Path) -> None:
    listed = tmp_path / "cases.jsonl"
    cases = [json.dumps([str(folder), files]) for folder, files in folders(tmp_path)]
    listed.write_text("\n".join(cases))
    got = through_a_terminal(
        DRIVER, str(listed), TRANSFORMERS_VERBOSITY="warning", PHIER_CACHE=str(tmp_path / "cache"), HF_HUB_OFFLINE="1"
    )
    assert got.rstrip().endswith(b"all done")
    assert b"Traceback" not in got
    assert b"Unexpected error" not in got
    for bad in FORBIDDEN:
        at = got.find(bad)
        assert at < 0, got[max(0, at - 300) : at + 100]
    assert got.count("␛]0;evil␇".encode()) > 30, "what is hostile is shown, and not only left out"
