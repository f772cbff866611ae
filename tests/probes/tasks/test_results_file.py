"""Results files: resumed, never mixed, never written twice at once, read with care."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import pytest

from probes.schema.errors import BadInput, Failure
from probes.schema.items import Wording
from probes.schema.task_results import GenerationFigures, OptionFigures, Similarities
from probes.tasks.judge import judge
from probes.tasks.results_file import FORMAT, ResultsHeader, check_results, read_results, results_file
from tests.support.task_results import collection, counted, generated, prompts, questions, ranked, spaces

HEADER = ResultsHeader("dense-model", "dense-model wanda:0.5", "wanda:0.5", {"mask": "abc", "torch": "2.6"}, "2026")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some" / "results.jsonl"


def write(path, items, results, header=HEADER):
    with results_file(path, header) as file:
        file.take([items])
        for one in results:
            file.add(one)
    return path


def test_comes_back_as_it_was(path):
    items = [questions(6, groups=("a", "b")), collection(3, 4), prompts(2)]
    options = OptionFigures((0.5, 0.5), (0.25, 0.75), 0.9, None, 0.1, 0.2, 0.9, ((1, 2), (3,)), "option 0", "option 1")
    generation = GenerationFigures(9, 1.5, 0.9, None, 0.5, 7.25)
    results = [replace(one, options=options, notes=("cut",)) for one in counted(items[0], 3, 2, 1)]
    results += [*ranked(items[1], [(1, 2), (3, 1)], tau=None), *generated(items[2], [generation])]
    similar = Similarities("passages", ("q",), ("d0", "d1"), ((0.5, 0.1),), ((0.4, None),))
    with results_file(path, HEADER) as file:
        file.take(items)
        for one in results:
            file.add(one)
        file.add(similar)
        assert file.known == {(one.task, one.item) for one in results}
    kept = read_results(path)
    assert kept.header == HEADER
    assert list(kept.item_sets) == items
    assert list(kept.results) == results
    assert kept.similarities == (similar,)
    assert not kept.torn
    assert judge(kept.found, kept.item_sets) == judge(file.kept.found, items)


def test_text_and_figures_survive_whatever_they_are(path):
    items = replace(prompts(1), wording=Wording("Write\n\n", "{text}\t\x1b[31m \u202e"))
    one = counted(items, 1)[0]
    odd = replace(one, dense=replace(one.dense, text="line\nline \x00 é 漢", choice=""), spaces=spaces(kl=math.inf))
    kept = read_results(write(path, items, [odd]))
    assert kept.item_sets == (items,)
    assert kept.results == (odd,)


def test_goes_on_where_it_stopped(path):
    items = questions(4)
    results = counted(items, 4)
    write(path, items, results[:2])
    with results_file(path, HEADER) as file:
        assert file.known == {("facts", "facts-0"), ("facts", "facts-1")}
        file.take([items])
        file.add(results[2])
        file.take([items, prompts(2)])
    assert read_results(path).results == tuple(results[:3])
    assert [one.name for one in read_results(path).item_sets] == ["facts", "answers"]


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_dropped(path, cut):
    items = questions(3)
    write(path, items, counted(items, 3))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = read_results(path)
    assert (len(kept.results), kept.torn) == (2, True)
    with results_file(path, HEADER) as file:
        file.add(counted(items, 3)[2])
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dense": "another"}, "another dense model: dense-model, not another"),
        ({"setting": "drop-attn:4", "pruned": "p"}, "another setting: wanda:0.5, not drop-attn:4"),
        ({"depends_on": {"mask": "xyz", "torch": "2.6"}}, "another mask: abc, not xyz"),
        ({"depends_on": {"mask": "abc"}}, "another torch: 2.6, not none"),
        ({"depends_on": {"mask": "abc", "torch": "2.6", "pooling": "last"}}, "another pooling: none, not last"),
    ],
)
def test_results_made_otherwise_are_refused(path, change, says):
    write(path, questions(2), [])
    before = path.read_bytes()
    with pytest.raises(BadInput, match=says), results_file(path, replace(HEADER, **change)):
        pass
    assert path.read_bytes() == before


def test_when_it_was_started_does_not_matter(path):
    write(path, questions(2), [])
    write(path, questions(2), [], replace(HEADER, started="2027", notes=("a note",)))
    assert read_results(path).header == HEADER


def test_other_items_of_the_same_name_are_refused(path):
    write(path, questions(3), [])
    other = replace(questions(3), wording=Wording("Choose."))
    for items in (questions(4), other):
        with results_file(path, HEADER) as file, pytest.raises(BadInput, match="other items, or of other wording"):
            file.take([prompts(2), items])
        with pytest.raises(BadInput, match="also named facts"):
            check_results(path, [items], "wanda:0.5")
    check_results(path, [questions(3), prompts(2)], "wanda:0.5")
    check_results(path.with_name("none"), [], "wanda:0.5")
    with pytest.raises(BadInput, match=r"another setting: wanda:0\.5, not none"):
        check_results(path, [], "")
    assert [one.name for one in read_results(path).item_sets] == ["facts"]


def test_two_writers_are_refused(path):
    with (
        results_file(path, HEADER) as file,
        pytest.raises(BadInput, match="Another program is writing"),
        results_file(path, HEADER),
    ):
        pass
    assert read_results(path).header == file.kept.header
    write(path, questions(1), [])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no results file"),
        (b"question,answer\n1,2\n", "is no results file"),
        (b'{"kind":"header","version":2}\n', "its first line is not that of one"),
        (b'{"kind":"results","format":1,"dense":3}\n', "is no results file"),
        (b'{"kind":"results","format":9}\n', "has format 9, and this version reads up to 1"),
        (b"[1, 2]\n", "is no results file"),
        (b"\xff\xfe\n", "is no results file"),
    ],
)
def test_other_files_are_refused(path, content, says):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(BadInput, match=says):
        read_results(path)
    if content:
        with pytest.raises(BadInput, match=says), results_file(path, HEADER):
            pass
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"7",
        b'{"kind":"result"}',
        b'{"kind":"unknown","found":{}}',
        b'{"kind":"result","found":{"task":"a","item":"b","dense":{"choice":"","right":true,"score":1e300}}}',
        b'{"kind":"similarities","found":{"task":"t","queries":[],"documents":[],"dense":[[7]],"pruned":[]}}',
        b'{"kind":"result","found":{},"nonfinite":{"spaces.h.cos":"inf"}}',
        b'{"kind":"result","found":{},"nonfinite":[1]}',
        b'{"kind":"result","found":[]}',
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(path, line):
    write(path, questions(1), [])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(BadInput, match=r"Line 3 of .* can't be read: .*") as raised:
        read_results(path)
    assert "scored again" in raised.value.hint


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(BadInput, match="it is a folder"):
        read_results(tmp_path)
    with pytest.raises(Failure, match="it is a folder"), results_file(tmp_path, HEADER):
        pass
    with pytest.raises(BadInput, match="No such file"):
        read_results(tmp_path / "none")


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    items = questions(2)
    one, two = counted(items, 2)
    write(path, items, [one])
    whole, real = path.read_bytes(), os.write

    def full(handle, data):
        real(handle, bytes(data)[:20])
        raise OSError(28, "No space left on device")

    with results_file(path, HEADER) as file:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(Failure, match="No space left"):
            file.add(two)
        monkeypatch.undo()
        assert path.read_bytes() == whole
        file.add(two)
    assert read_results(path).results == (one, two)


def test_the_first_line_names_the_format(path):
    write(path, questions(1), [])
    first = json.loads(path.read_text().splitlines()[0])
    assert (first["kind"], first["format"], first["setting"]) == ("results", FORMAT, "wanda:0.5")
