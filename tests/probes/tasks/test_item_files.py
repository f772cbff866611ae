"""Item sets read from files: their columns, what is refused with a sentence, and which lines are left out."""

from __future__ import annotations

import gzip
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from probes.schema.errors import BadInput, Failure
from probes.schema.items import QUESTION, Document, Query, Question, ShortAnswer, TaskKind, Way, Wording
from probes.schema.task_options import Pooling
from probes.tasks.item_files import item_set

PETS: dict[str, Any] = {"question": "Which one barks?", "choices": ["cat", "dog"], "answer": "dog"}
BARKS = Question("1", "Which one barks?", ("cat", "dog"), 1)


@pytest.fixture
def written(tmp_path: Path):
    def write(content: object, name: str = "pets.jsonl") -> str:
        """Rows become JSON Lines; a text or bytes are written as they are."""
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(f"{json.dumps(row)}\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        return str(path)

    return write


# Options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        PETS,
        {**PETS, "answer": 1},
        {**PETS, "answer": "B"},
        {**PETS, "answer": "b"},
        {**PETS, "answer": "1"},
        {"question": "Which one barks?", "choices": {"text": ["cat", "dog"], "label": ["A", "B"]}, "answerKey": "B"},
        {"question": "Which one barks?", "choices": {"text": ["cat", "dog"], "label": ["1", "2"]}, "answerKey": "2"},
        {"question": "Which one barks?", "A": "cat", "B": "dog", "answer": "B"},
        {"ctx": "Which one barks?", "endings": ["cat", "dog"], "label": 1},
        {"question": "Which one barks?", "options": ["cat", "dog"], "gold": 1},
    ],
)
def test_the_usual_columns_of_options(row, written):
    found = item_set(written([row]))
    assert (found.name, found.kind, found.way, found.wording) == ("pets", TaskKind.OPTIONS, Way.CONTINUATION, QUESTION)
    assert found.questions == (BARKS,)
    assert found.chance == 0.5


def test_a_table_with_a_column_for_each_option(written):
    table = 'id,question,A,B,answer\npet,"Which one\nbarks?",cat,dog,B\n\n'
    assert item_set(written(table, "pets.csv")).questions == (Question("pet", "Which one\nbarks?", ("cat", "dog"), 1),)
    assert item_set(written(table.replace(",", ";"), "pets.csv")).questions[0].answer == 1
    assert item_set(written(table.replace(",", "\t"), "pets.tsv")).questions[0].answer == 1
    listed = 'question;choices;answer\nWhich one barks?;"[""cat"", ""dog""]";dog\n'
    assert item_set(written(listed, "pets.csv")).questions[0].options == ("cat", "dog")


def test_numbers_may_be_options(written):
    row = {"question": "2 + 2?", "choices": ["3", "4", "5", "6"], "answer": "4"}
    assert item_set(written([row])).questions[0].answer == 1
    assert item_set(written([{**row, "answer": 3}])).questions[0].answer == 3
    with pytest.raises(BadInput, match=r"line 1 \(its answer “3” can mean several options; write the letter"):
        item_set(written([{**row, "answer": "3"}]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": None}, "it has no answer"),
        ({"answer": " "}, "it has no answer"),
        ({"answer": True}, "it has no answer"),
        ({"answer": "cow"}, "its answer “cow” is not one of the options"),
        ({"answer": 2}, "its answer “2” is not one of the options"),
        ({"answer": -1}, "its answer “-1” is not one of the options"),
        ({"choices": ["dog", "dog "]}, "its option “dog” occurs twice"),
        ({"choices": ["dog", ""]}, "one of its options is blank"),
        ({"choices": ["dog"]}, "it has fewer than two options"),
        ({"choices": "dog"}, "it has no options"),
        ({"choices": None}, "it has no options"),
        ({"question": ""}, "it has no question"),
    ],
)
def test_an_item_that_can_not_be_scored_is_refused_with_its_line(changes, reason, written):
    path = written([PETS, {**PETS, **changes}])
    with pytest.raises(BadInput) as caught:
        item_set(path)
    assert f"1 line of pets can't be used: line 2 ({reason})." in str(caught.value)
    found = item_set(path, skip_bad=True)
    assert found.questions == (BARKS,)
    assert found.notes == (f"1 line can't be used and is left out: line 2 ({reason}).",)


# Bad lines ----------------------------------------------------------------------------------------------------


def test_malformed_lines_are_named_and_left_out_only_if_asked(written):
    path = written(f"{json.dumps(PETS)}\n\n{{oops\n[1]\n" + "no\n" * 9)
    with pytest.raises(BadInput) as caught:
        item_set(path)
    said = str(caught.value)
    assert "11 lines of pets can't be used: line 3 (it is not JSON); line 4 (it is not an object)" in said
    assert said.count("(it is not JSON)") == 4
    assert "and 6 more" in said
    assert item_set(path, skip_bad=True).questions == (BARKS,)


def test_rows_of_other_lengths_and_damaged_tables(written):
    table = written("question,A,B,answer\nWhich?,cat,dog,A\nWhich?,cat,dog\n", "pets.csv")
    with pytest.raises(BadInput, match=r"line 3 \(it has 3 cells for 4 columns\)"):
        item_set(table)
    with pytest.raises(BadInput, match=r"Line 2 of pets.csv is not CSV"):
        item_set(written('question,A,B,answer\n"Which?,cat,dog,A\n', "pets.csv"))
    with pytest.raises(BadInput, match="two columns of one name"):
        item_set(written("question,A,A,answer\nWhich?,cat,dog,A\n", "pets.csv"))


def test_an_id_that_occurs_twice_is_a_bad_line(written):
    path = written([{**PETS, "id": "x"}, {**PETS, "id": "y"}, {**PETS, "id": "x"}])
    with pytest.raises(BadInput, match=r"line 3 \(its id “x” occurs before\)"):
        item_set(path)
    assert [one.id for one in item_set(path, skip_bad=True).questions] == ["x", "y"]


@pytest.mark.parametrize("name", ["pets.jsonl", "pets.csv"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file(name, content, written):
    with pytest.raises(BadInput, match=rf"{name} is empty"):
        item_set(written(content, name))


def test_a_file_without_any_item(written):
    with pytest.raises(BadInput, match="pets has no items"):
        item_set(written("question,A,B,answer\n", "pets.csv"), kind=TaskKind.OPTIONS)
    with pytest.raises(BadInput, match=r"pets has no items.*line 1 \(it has no answer\)"):
        item_set(written([{**PETS, "answer": ""}]), skip_bad=True)


def test_other_encodings(written):
    line = json.dumps({**PETS, "question": "Où ?"}, ensure_ascii=False)
    assert item_set(written(line.encode("utf-8-sig"))).questions[0].question == "Où ?"
    for encoding in ("utf-16", "utf-16-le"):
        with pytest.raises(BadInput, match=r"pets.jsonl is UTF-16 or binary, not UTF-8 text\. Save it as UTF-8"):
            item_set(written(line.encode(encoding)))
    with pytest.raises(BadInput, match=r"line 2 has the byte 0xf9\. It may be Latin-1\. Save it as UTF-8"):
        item_set(written(f"{json.dumps(PETS)}\n{line}".encode("latin-1")))


def test_compressed_files(written):
    packed = gzip.compress(json.dumps(PETS).encode())
    assert item_set(written(packed, "pets.jsonl.gz")).questions == (BARKS,)
    assert (
        item_set(written(gzip.compress(b"question,A,B,answer\nWhich?,cat,dog,B"), "pets.csv.gz")).questions[0].answer
        == 1
    )
    with pytest.raises(BadInput, match=r"pets.jsonl.gz can't be read"):
        item_set(written(packed[:-12], "pets.jsonl.gz"))


def test_a_json_list_and_something_else(written):
    assert item_set(written(json.dumps([PETS]), "pets.json")).questions == (BARKS,)
    with pytest.raises(BadInput, match="begins neither with a JSON object nor with a list"):
        item_set(written("Which one barks?"))
    with pytest.raises(BadInput, match=r"those of no kind of item: question, hint"):
        item_set(written([{"question": "Which?", "hint": "x"}]))


# Labels -------------------------------------------------------------------------------------------------------


def test_texts_with_label_words(written):
    rows = [{"text": "Nice.", "label": "good"}, {"text": "Ugh.", "label": "bad"}, {"text": "Hm.", "label": "bad"}]
    found = item_set(written(rows))
    assert (found.kind, found.way) == (TaskKind.CLASSIFICATION, Way.LETTER)
    assert [(one.options, one.answer) for one in found.questions] == [(("good", "bad"), answer) for answer in (0, 1, 1)]


def test_label_numbers_need_names(written):
    path = written([{"text": "Nice.", "label": 1}, {"text": "Ugh.", "label": "0"}])
    found = item_set(path, labels=("bad", "good"))
    assert [one.answer for one in found.questions] == [1, 0]
    with pytest.raises(BadInput, match="its label is a number, and the labels have no names"):
        item_set(path)
    with pytest.raises(BadInput, match=r"line 1 \(its label 7 is above 1, the last label's number\)"):
        item_set(written([{"text": "Hm.", "label": 7}]), labels=("bad", "good"))
    with pytest.raises(BadInput, match="its label “ugly” is not one of the labels"):
        item_set(written([{"text": "Hm.", "label": "ugly"}]), labels=("bad", "good"))
    with pytest.raises(BadInput, match="it has no label"):
        item_set(written([{"text": "Hm.", "label": None}, {"text": "Nice.", "label": 1}]), labels=("bad", "good"))


def test_one_label_is_no_choice(written):
    with pytest.raises(BadInput, match="All texts have the label “good”"):
        item_set(written([{"text": "Nice.", "label": "good"}]))
    with pytest.raises(BadInput, match="The label “good” is given twice"):
        item_set(written([{"text": "Nice.", "label": "good"}]), labels=("good", "good"))


# Retrieval ----------------------------------------------------------------------------------------------------


DOGS = {"id": "dogs", "document": "Dogs bark."}
CATS = {"id": "cats", "document": "Cats purr."}


def test_documents_and_queries_that_name_them(written):
    rows = [
        DOGS,
        {"id": "q", "query": "What barks?", "positive": "dogs"},
        CATS,
        {"query": "Pets?", "positive": ["dogs", "Cats purr."]},
    ]
    found = item_set(written(rows))
    assert found.collection.documents == (Document("dogs", "Dogs bark."), Document("cats", "Cats purr."))
    assert found.collection.queries == (Query("q", "What barks?", ("dogs",)), Query("4", "Pets?", ("dogs", "cats")))
    assert (len(found), found.chance) == (2, 0.75)


def test_queries_that_bring_their_documents(written):
    rows = [
        {"query": "What barks?", "positive": "Dogs bark.", "documents": ["Cats purr.", "Dogs bark."]},
        {"query": "What purrs?", "positive": "Cats purr.", "documents": ["Cats purr.", "Cows moo."]},
    ]
    collection = item_set(written(rows)).collection
    assert [document.text for document in collection.documents] == ["Cats purr.", "Dogs bark.", "Cows moo."]
    assert [query.positive for query in collection.queries] == [("1.2",), ("1.1",)]


def test_positives_and_negatives_are_the_documents_if_there_are_no_others(written):
    rows = [{"query": "What barks?", "positive": "Dogs bark.", "negative": "Cats purr."}]
    collection = item_set(written(rows)).collection
    assert [document.text for document in collection.documents] == ["Dogs bark.", "Cats purr."]
    assert collection.queries[0].positive == ("1.1",)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"query": "What moos?", "positive": "cows"}, "its positive “cows” is in no document"),
        ({"query": "What moos?"}, "it names no positive document"),
        ({"query": " ", "positive": "dogs"}, "it has no query"),
        ({"id": "dogs", "document": "Dogs dig."}, "its id “dogs” occurs before"),
        ({"document": "Dogs bark."}, "its text is that of document “dogs”"),
        ({"hint": "x"}, "it has no query and no document"),
    ],
)
def test_a_line_that_is_no_document_and_no_query(row, reason, written):
    good = {"query": "What barks?", "positive": "dogs"}
    path = written([DOGS, good, row])
    with pytest.raises(BadInput) as caught:
        item_set(path)
    assert f"line 3 ({reason})" in str(caught.value)
    assert len(item_set(path, skip_bad=True)) == 1


# Generation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "1 + 1 =", "target": "2"},
        {"prompt": "1 + 1 =", "completion": "2"},
        {"prompt": "1 + 1 =", "answer": 2},
        {"question": "1 + 1 =", "answers": ["2"]},
    ],
)
def test_prompts_with_targets(row, written):
    found = item_set(written([row]))
    assert (found.kind, found.wording) == (TaskKind.GENERATION, Wording())
    assert found.prompts == (ShortAnswer("1", "1 + 1 =", ("2",)),)


def test_prompts_without_a_target(written):
    with pytest.raises(BadInput, match=r"line 2 \(it has no answer\); line 3 \(it has no prompt\)"):
        item_set(written([{"prompt": "1", "target": "2"}, {"prompt": "1", "target": []}, {"target": "2"}]))


# What the first line may say ----------------------------------------------------------------------------------


def test_the_first_line_may_describe_the_set(written):
    about = {
        "name": "moods",
        "way": "continuation",
        "chat": True,
        "pooling": "last",
        "instruction": "Look.",
        "labels": ["sad", "glad"],
        "groups": {"films": {"form": "Film: {text}\nMood:", "labels": ["dull", "fun"]}},
    }
    rows = [{"set": about}, {"text": "Oh.", "label": "sad"}, {"text": "Ah.", "label": "fun", "group": "films"}]
    found = item_set(written(rows))
    assert (found.name, found.way, found.chat, found.pooling) == ("moods", Way.CONTINUATION, True, Pooling.LAST)
    assert [found.wording_of(one) for one in found.questions] == [
        Wording("Look.", QUESTION.form),
        Wording("Look.", "Film: {text}\nMood:"),
    ]
    assert [(one.id, one.options, one.answer) for one in found.questions] == [
        ("2", ("sad", "glad"), 0),
        ("3", ("dull", "fun"), 1),
    ]
    assert item_set(written(rows), way=Way.LETTER).way is Way.LETTER


@pytest.mark.parametrize(
    ("about", "problem"),
    [({"wya": "letter"}, "wya"), ({"way": "loud"}, "loud"), ({"form": "Film:"}, "{text}"), (3, "object")],
)
def test_a_description_with_a_mistake(about, problem, written):
    with pytest.raises(BadInput, match=rf"The first line of pets.*{problem}"):
        item_set(written([{"set": about}, PETS]))


# Sources ------------------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_items_and_of_how_they_are_asked(written):
    table = "question,A,B,answer\nWhich one barks?,cat,dog,B\n"
    rows = [{"set": {"way": "continuation"}}, {**PETS, "id": "2"}]
    digest = item_set(written(table, "pets.csv")).digest
    assert len(digest) == 64
    assert item_set(written(rows)).digest == digest
    assert item_set(written(rows), way=Way.LETTER).digest != digest
    assert item_set(written([{**PETS, "id": "2", "answer": "A"}])).digest != digest


def test_the_first_items_only(written):
    rows = [{**PETS, "id": str(number)} for number in range(5)]
    assert [one.id for one in item_set(written(rows), limit=2).questions] == ["0", "1"]
    assert len(item_set("documents", limit=3)) == 3
    with pytest.raises(BadInput, match="0 items can't be taken"):
        item_set("facts", limit=0)


def test_a_name_that_is_nothing(tmp_path):
    with pytest.raises(BadInput, match=r"no file fcts, and no item set of this name\. Did you mean facts\?"):
        item_set("fcts")
    with pytest.raises(BadInput, match="is a folder"):
        item_set(str(tmp_path))
    with pytest.raises(BadInput, match=r"no file my/pets\.csv"):
        item_set("my/pets.csv")


class Rows(list[object]):
    """A split whose labels have names."""

    features: ClassVar = {"text": object(), "label": SimpleNamespace(names=["World", "Sports", "Trade"])}


def hub(monkeypatch: pytest.MonkeyPatch, splits: dict[str, Any]) -> None:
    def load_dataset(name: str, configuration: str | None, *, split: str, streaming: bool) -> Iterable[object]:
        if split not in splits:
            raise ValueError(f"Bad split: {split}")
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        found: Rows | Iterator[object] = splits[split] if isinstance(splits[split], Rows) else iter(splits[split])
        return found

    module = ModuleType("datasets")
    monkeypatch.setattr(module, "load_dataset", load_dataset, raising=False)
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch):
    hub(monkeypatch, {"train": [], "validation": [PETS, {**PETS, "answer": "A"}, "no row"]})
    found = item_set("owner/pets:small", limit=2)
    assert (found.name, [one.answer for one in found.questions]) == ("pets", [1, 0])
    with pytest.raises(BadInput, match=r"line 3 \(it has no columns\)"):
        item_set("owner/pets:small")


def test_labels_of_a_data_set_have_their_names(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    hub(monkeypatch, {"test": Rows([{"text": "A goal!", "label": 1}, {"text": "A vote.", "label": 0}])})
    found = item_set("owner/news", limit=1)
    assert (found.questions[0].options, found.questions[0].answer) == (("World", "Sports", "Trade"), 1)
    named = item_set("owner/news", labels=("w", "s", "t"))
    assert (named.questions[1].options, named.questions[1].answer) == (("w", "s", "t"), 0)
    assert not caplog.records


def test_a_data_set_that_can_not_be_had(monkeypatch: pytest.MonkeyPatch):
    hub(monkeypatch, {})
    with pytest.raises(Failure, match=r"owner/pets could not be downloaded: Bad split: train\. Check the name"):
        item_set("owner/pets")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadInput, match=r"There is no file owner/pets\. If it is a data set.*pip install datasets"):
        item_set("owner/pets")
