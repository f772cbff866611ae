"""Calibration text: read from where it is named, and cut as it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from probes.calibration import windows as windows_module
from probes.calibration.samples import SAMPLES, CalibrationSamples, samples
from probes.models.loaded import Loaded
from probes.prune.apply import apply
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.prune_models import TOKENIZER, loaded
from tests.support.tiny import tiny

TEXT = "\n".join(f"the {number} singer counts {number * number}" for number in range(60))
END = TOKENIZER.eos_token_id


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def dense() -> Loaded:
    return loaded("llama")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return written(tmp_path / "text.txt", TEXT)


def written(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def encoded(content: str) -> list[int]:
    return list(TOKENIZER(content, add_special_tokens=False)["input_ids"])


def taken(
    source: Path | str, dense: Loaded, number: int = 0, length: int = 0, seed: int | None = None
) -> CalibrationSamples:
    return samples(CalibrationSpec(str(source), number, length, seed), dense)


# Windows --------------------------------------------------------------------------------------------------------


def test_a_text_is_cut_into_consecutive_windows_from_its_beginning(dense: Loaded, text: Path) -> None:
    found = taken(text, dense, 4, 15)
    assert found.ids.dtype == torch.int64
    assert found.ids.flatten().tolist() == encoded(TEXT)[:60]
    info = found.info
    assert (info.source, info.samples, info.length, info.seed) == (str(text), 4, 15, None)


def test_a_seed_draws_windows_at_random_and_the_same_ones_again(dense: Loaded, text: Path) -> None:
    one, again, other = (taken(text, dense, 5, 12, seed) for seed in (0, 0, 1))
    assert torch.equal(one.ids, again.ids)
    assert one.info == again.info
    assert not torch.equal(one.ids, other.ids)
    all_ids = encoded(TEXT)
    windows = [all_ids[start : start + 12] for start in range(len(all_ids) - 11)]
    places = [windows.index(row) for row in one.ids.tolist()]
    assert places != sorted(places)


def test_no_window_is_drawn_twice_even_where_all_are_wanted(dense: Loaded, text: Path) -> None:
    all_ids = encoded(TEXT)
    length = len(all_ids) // 6
    most = len(all_ids) - length + 1
    found = taken(text, dense, most, length, 3).ids.tolist()
    assert sorted(found) == sorted(all_ids[start : start + length] for start in range(most))


@pytest.mark.parametrize("seed", [None, 0])
def test_a_text_that_is_too_short_is_refused_with_how_much_it_has(
    seed: int | None, dense: Loaded, tmp_path: Path
) -> None:
    short = written(tmp_path / "short.txt", "0123456789" * 3)
    with pytest.raises(BadInput, match=r"30 tokens, which give (3|21) windows of 10; 40 are needed.*--samples"):
        taken(short, dense, 40, 10, seed)
    assert taken(short, dense, 0, 10, seed).info.samples == (3 if seed is None else 21) < SAMPLES
    with pytest.raises(BadInput, match="0 windows of 31"):
        taken(short, dense, 0, 31, seed)


@pytest.mark.parametrize("content", ["", "\n"], ids=["empty", "one line break"])
def test_an_empty_text_is_too_short_whatever_is_wanted(content: str, dense: Loaded, tmp_path: Path) -> None:
    for name in ("empty.txt", "empty.jsonl"):
        with pytest.raises(BadInput, match="0 windows of 10"):
            taken(written(tmp_path / name, content), dense, 0, 10)


def test_a_long_text_is_tokenised_in_pieces_that_change_nothing(
    dense: Loaded, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows_module, "_PIECE", 40)
    assert taken(text, dense, 20, 30).ids.flatten().tolist() == encoded(TEXT)[:600]


def test_samples_longer_than_the_context_are_refused(dense: Loaded, text: Path) -> None:
    for source in (str(text), ""):
        with pytest.raises(BadInput, match="257 tokens are more than the model's context of 256"):
            taken(source, dense, 1, 257)
    assert taken(text, dense, 1, 256).info.length == 256


def test_the_digest_tells_calibrations_apart(dense: Loaded, text: Path, tmp_path: Path) -> None:
    copy = written(tmp_path / "copy.txt", TEXT)
    assert taken(text, dense, 4, 15).info.sha256 == taken(copy, dense, 4, 15).info.sha256
    different = [
        taken(text, dense, 4, 15),
        taken(text, dense, 15, 4),  # the same ids, cut otherwise
        taken(text, dense, 3, 15),
        taken(text, dense, 4, 15, 0),
        taken(written(tmp_path / "other.txt", TEXT[1:]), dense, 4, 15),
    ]
    assert len({found.info.sha256 for found in different}) == len(different)


def noted(wanted: CalibrationSpec, dense: Loaded) -> tuple[CalibrationSamples, list[str]]:
    work = Work()
    return samples(wanted, dense, work), work.notes


def test_less_text_than_the_default_needs_is_noted_with_the_true_numbers(dense: Loaded, tmp_path: Path) -> None:
    short = str(written(tmp_path / "short.txt", "0123456789" * 3))
    found, notes = noted(CalibrationSpec(short, 0, 10), dense)
    assert (found.info.samples, found.ids.shape) == (3, (3, 10))
    assert notes == ["The calibration text is short: it gives 3 samples of 10 tokens; the default is 32."]
    assert noted(CalibrationSpec(short, 3, 10), dense)[1] == []


@pytest.mark.parametrize("own", [True, False])
def test_the_default_length_is_no_longer_than_the_context_and_says_so(own: bool, text: Path) -> None:
    small = replace(loaded("llama"), model=tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=20))
    source = "" if own else str(text)
    found, notes = noted(CalibrationSpec(source, 4), small)
    assert found.ids.shape == (4, 20)
    assert found.info.length == 20
    assert notes == ["Calibration samples have 20 tokens, the model's whole context; the default is 128."]
    with pytest.raises(BadInput, match=r"21 tokens are more than the model's context of 20.* --length of at most 20"):
        noted(CalibrationSpec(source, 4, 21), small)


def test_what_a_setting_was_calibrated_on_is_told_where_it_was_less_than_the_default(tmp_path: Path) -> None:
    dense = loaded("llama")
    short = str(written(tmp_path / "short.txt", TEXT[:400]))
    for _ in range(2):  # measured, and found again
        report = apply(Twin(dense.model), parse("wanda:0.5"), dense, CalibrationSpec(short), keep=True)
        assert report.calibration is not None
        count = report.calibration.samples
        assert 0 < count < SAMPLES
        note = f"The calibration text is short: it gives {count} samples of 128 tokens; the default is 32."
        assert note in report.notes


# Sources --------------------------------------------------------------------------------------------------------


def test_the_texts_of_json_lines_follow_each_other_with_the_end_of_text_between(dense: Loaded, tmp_path: Path) -> None:
    lines = "\n\n".join(json.dumps({"text": text, "more": 1}) for text in ("abc", "the é", "z"))
    expected = [*encoded("abc"), END, *encoded("the é"), END, *encoded("z")]
    found = taken(written(tmp_path / "texts.jsonl", lines), dense, 1, len(expected))
    assert found.ids[0].tolist() == expected
    with pytest.raises(BadInput, match=f"has {len(expected)} tokens"):  # none after the last text
        taken(tmp_path / "texts.jsonl", dense, 1, len(expected) + 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "a', "is not JSON"),
        ("just words", "is not JSON"),
        ('["text"]', "no field 'text'"),
        ('{"words": "a"}', "no field 'text'"),
        ('{"text": 7}', "no field 'text' with a text"),
    ],
)
def test_a_line_that_holds_no_text_is_named(line: str, reason: str, dense: Loaded, tmp_path: Path) -> None:
    file = written(tmp_path / "texts.jsonl", '{"text": "a"}\n\n' + line + '\n{"text": "b"}\n')
    with pytest.raises(BadInput, match=rf"Line 3 of texts\.jsonl .*{reason}"):
        taken(file, dense, 1, 5)


ROWS = [{"text": "abc", "more": 1}, {"text": "the {é}"}, {"text": "z"}]
LINES = "\n".join(json.dumps(row) for row in ROWS)


@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson", "a.json", "a.txt", "a"])
@pytest.mark.parametrize(
    "content",
    [
        LINES,
        f"\n\n{LINES}\n",
        f"\ufeff{LINES}",
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        json.dumps([row["text"] for row in ROWS]),
    ],
    ids=["lines", "blank lines", "byte order mark", "list", "indented", "list of texts"],
)
def test_json_is_recognised_by_what_a_file_holds(name: str, content: str, dense: Loaded, tmp_path: Path) -> None:
    expected = [*encoded("abc"), END, *encoded("the {é}"), END, *encoded("z")]
    assert taken(written(tmp_path / name, content), dense, 1, len(expected)).ids[0].tolist() == expected


def test_one_object_is_one_text(dense: Loaded, tmp_path: Path) -> None:
    for content in ('{"text": "abc"}', '{\n  "text": "abc"\n}'):
        assert taken(written(tmp_path / "a.json", content), dense, 1, 3).ids[0].tolist() == encoded("abc")


@pytest.mark.parametrize(
    "content", ["{ not json }\nwords", "[Chapter 1]\nwords", "\n\n words", '"Yes", he said.\nNo.', "[" * 100_000]
)
def test_a_text_that_only_begins_like_json_is_a_text(content: str, dense: Loaded, tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", content)
    assert taken(file, dense, 1, 8).ids[0].tolist() == encoded(content)[:8]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.NDJSON"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("just words", "is not JSON or JSON Lines"),
        ("[1, 2]", "Entry 1 of a.* has no field 'text'"),
        ('[{"words": "a"}]', "Entry 1 of a.* has no field 'text'"),
        ('{"words": ["a"]}', "Line 1 of a.* has no field 'text'"),
    ],
)
def test_a_json_file_without_texts_is_refused(
    name: str, content: str, reason: str, dense: Loaded, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=reason):
        taken(written(tmp_path / name, content), dense, 1, 5)


@pytest.mark.parametrize("name", ["text.txt", "texts.jsonl"])
def test_a_text_in_another_encoding_is_refused(name: str, dense: Loaded, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes('{"text": "café"}'.encode("latin-1"))
    with pytest.raises(BadInput, match="UTF-8") as caught:
        taken(file, dense, 1, 5)
    assert str(file) in caught.value.message


def test_a_folder_and_a_missing_file_are_refused(dense: Loaded, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        taken(tmp_path, dense)
    for source in (tmp_path / "nowhere.txt", "nowhere", "texts/nowhere.txt", "a/b/c", "a b/c"):
        with pytest.raises(BadInput, match=f"no file {source}"):
            taken(source, dense)


@pytest.mark.parametrize("source", ["owner/name", "owner/name:some-part", "owner/name:20231101.en"])
def test_a_data_set_needs_its_package(source: str, dense: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match=rf"no file {source}.*needs the package `datasets`.*pip install datasets"):
        taken(source, dense)


def hub(monkeypatch: pytest.MonkeyPatch, rows: Iterator[object]) -> list[tuple[object, ...]]:
    """A package `datasets` whose only data set has these rows; notes what it is asked for."""
    asked: list[tuple[object, ...]] = []

    def load_dataset(name: str, configuration: str | None, *, split: str, streaming: bool) -> Iterator[object]:
        asked.append((name, configuration, split, streaming))
        return rows

    module = ModuleType("datasets")
    monkeypatch.setattr(module, "load_dataset", load_dataset, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


def test_a_data_set_is_read_only_as_far_as_it_is_needed(dense: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def endless() -> Iterator[object]:
        while True:
            read.append(len(read))
            yield {"text": f"{read[-1]:04}"}

    asked = hub(monkeypatch, endless())
    found = taken("owner/name:part", dense, 3, 3)
    assert found.ids.flatten().tolist() == [*encoded("0000"), END, *encoded("0001")]
    assert found.info.source == "owner/name:part"
    assert len(read) == 2
    assert asked == [("owner/name", "part", "train", True)]


def test_a_data_set_that_breaks_off_or_has_no_text_is_an_error(dense: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[object]:
        yield {"text": "a"}
        raise ConnectionError("the hub went away\nwith many lines")

    assert hub(monkeypatch, broken()) == []
    with pytest.raises(Failure, match=r"owner/name could not be downloaded: the hub went away. Check the name"):
        taken("owner/name", dense, 2, 5)
    hub(monkeypatch, iter([{"content": "a"}]))
    with pytest.raises(BadInput, match="A row of owner/name has no field 'text'"):
        taken("owner/name", dense, 2, 5)
