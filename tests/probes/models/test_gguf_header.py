"""A GGUF file's weights are counted from its header, and a conversion that can't fit is refused before it begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf import GGUFEndian, GGUFReader, GGUFWriter

from probes.models import gguf
from probes.models.gguf_header import count_weights
from probes.schema.errors import BadInput, Failure
from probes.system.progress import Work
from tests.support.gguf_file import write_gguf
from tests.support.tiny import byte_tokenizer, tiny


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = tiny("llama", vocab_size=len(byte_tokenizer()), tie_word_embeddings=True)
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", model)


def test_as_many_weights_are_counted_as_the_format_s_own_reader_finds(file: Path) -> None:
    assert count_weights(file) == sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)


def test_facts_of_every_kind_are_passed_over(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "facts.gguf", "llama")
    for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"):
        getattr(writer, f"add_{kind}")(f"a.{kind}", 7)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "text")
    facts: dict[str, list[Any]] = {"numbers": [1, 2, 3], "texts": ["a", "bc"], "floats": [0.5], "flags": [True, False]}
    for name, values in facts.items():
        writer.add_array(f"a.{name}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert count_weights(tmp_path / "facts.gguf") == 0


def test_the_other_order_of_bytes_is_read_as_well(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "big.gguf", "llama", endianess=GGUFEndian.BIG)
    writer.add_string("a.string", "text")
    writer.add_tensor("some.weight", np.zeros((3, 5), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert count_weights(tmp_path / "big.gguf") == 15


def test_a_damaged_file_is_refused_before_a_conversion_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    monkeypatch.setattr("probes.models.gguf.child.run", None)
    (tmp_path / "four.gguf").write_bytes(b"GGUF")
    with pytest.raises(BadInput, match=r"four\.gguf could not be converted: its header is cut short or damaged\."):
        gguf.converted(tmp_path / "four.gguf", "float32", Work())


def test_a_header_cut_anywhere_is_an_error_and_no_hang(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in (0, 3, 6, 12, 20, 24, 30, 200, 2000):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"does not begin with|cut short"):
            count_weights(cut)


def test_counts_that_can_t_be_are_an_error_and_no_hang(file: Path, tmp_path: Path) -> None:
    whole = bytearray(file.read_bytes()[:200])
    whole[8:24] = b"\xff" * 16
    (tmp_path / "many.gguf").write_bytes(whole)
    with pytest.raises(ValueError, match="cut short"):
        count_weights(tmp_path / "many.gguf")


def test_a_conversion_that_can_t_fit_is_refused_before_it_begins(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    monkeypatch.setattr("probes.models.gguf.child.run", None)
    enough = 4 * count_weights(file)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": enough - 1})())
    with pytest.raises(Failure, match=r"Converting tiny\.gguf takes 0\.0 GB of memory"):
        gguf.converted(file, "float32", Work())
    assert not list((tmp_path / "models").glob("*part*"))
