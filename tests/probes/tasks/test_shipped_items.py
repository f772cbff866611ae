"""The item sets that ship: enough items, balanced, none twice, and easy enough for the demo model."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.schema.items import ItemSet, TaskKind
from probes.schema.task_results import ItemResult
from probes.tasks.item_files import SHIPPED, item_set, shipped_names
from probes.tasks.prompts import by_continuation, by_letter
from probes.tasks.scored_items import score_items
from tests.support.tiny import byte_tokenizer

FACTS, LABELS, DOCUMENTS, ANSWERS = map(item_set, shipped_names())


def test_there_is_a_set_of_each_kind_with_enough_items():
    assert [items.kind for items in (FACTS, LABELS, DOCUMENTS, ANSWERS)] == list(TaskKind)
    assert len(FACTS) >= 80
    assert len(LABELS) >= 60
    assert len(DOCUMENTS) >= 40
    assert len(DOCUMENTS.collection.documents) >= 60
    assert len(ANSWERS) >= 60
    assert all(not items.notes for items in (FACTS, LABELS, DOCUMENTS, ANSWERS))


def test_every_file_in_the_folder_ships_by_its_name():
    assert {path.stem for path in SHIPPED.glob("*.jsonl")} == set(shipped_names())
    assert [items.name for items in (FACTS, LABELS, DOCUMENTS, ANSWERS)] == list(shipped_names())


def test_the_right_option_is_at_every_place_equally_often():
    assert set(Counter(question.answer for question in FACTS.questions).values()) == {len(FACTS) // 4}
    assert {len(question.options) for question in FACTS.questions} == {4}


def test_the_labels_of_each_group_are_balanced():
    groups = {question.group for question in LABELS.questions}
    assert len(groups) >= 4
    for group in groups:
        there = [question for question in LABELS.questions if question.group == group]
        counts = Counter(question.answer for question in there)
        assert set(counts.values()) == {len(there) // len(there[0].options)}


def test_no_text_occurs_twice():
    collection = DOCUMENTS.collection
    texts = [question.question for items in (FACTS, LABELS) for question in items.questions]
    texts += [item.prompt for item in ANSWERS.prompts] + [query.text for query in collection.queries]
    texts += [document.text for document in collection.documents]
    within = Counter(map(str.casefold, texts))
    asked_twice = {
        item.prompt.casefold() for item in ANSWERS.prompts
    }  # a fact may be asked for with and without options
    assert [text for text, count in within.items() if count > (2 if text in asked_twice else 1)] == []
    assert len({item.prompt for item in ANSWERS.prompts}) == len(ANSWERS)
    assert len({question.question for question in FACTS.questions}) == len(FACTS)


def test_solved_examples_are_not_among_the_items():
    for items in (LABELS, ANSWERS):
        examples = "\n".join(
            (items.wording.instruction, *(wording.instruction for wording in items.group_wordings.values()))
        )
        for text in (*(question.question for question in items.questions), *(one.prompt for one in items.prompts)):
            assert text not in examples


def test_shared_words_alone_do_not_find_the_documents():
    """By the share of words that a query and a document have in common, few queries find theirs."""
    collection = DOCUMENTS.collection

    def shared(one: str, other: str) -> float:
        a, b = (set(re.findall(r"\w+", text.casefold())) for text in (one, other))
        return len(a & b) / len(a | b)

    found = sum(
        max(collection.documents, key=lambda document: shared(query.text, document.text)).id in query.positive
        for query in collection.queries
    )
    assert found < 0.35 * len(collection.queries)


def test_every_item_can_be_scored_also_with_letters():
    tokenizer = byte_tokenizer()
    for items, read in ((FACTS, by_continuation), (FACTS, by_letter), (LABELS, by_continuation)):
        for question in items.questions:
            assert read(tokenizer, items, question).ids


def thinned(items: ItemSet, every: int) -> ItemSet:
    """Every so many items; of documents, those that answer the queries that are left."""
    found = replace(items, questions=items.questions[::every], prompts=items.prompts[::every])
    if items.collection is None:
        return found
    queries = items.collection.queries[::every]
    wanted = {positive for query in queries for positive in query.positive}
    documents = tuple(one for one in items.collection.documents if one.id in wanted)
    return replace(found, collection=replace(items.collection, queries=queries, documents=documents))


@pytest.mark.demo
@pytest.mark.parametrize(
    ("items", "every"), [(FACTS, 10), (LABELS, 10), (DOCUMENTS, 5), (ANSWERS, 10)], ids=shipped_names()
)
def test_the_demo_model_does_well(items: ItemSet, every: int, demo: Loaded):
    """At least 25 points above chance, or 60 % exact match, on a thinned set: every tenth or fifth item."""
    few = thinned(items, every)
    results = [one for one in score_items(Pair(demo, demo, None), [few]) if isinstance(one, ItemResult)]
    assert len(results) == len(few)
    share = sum(one.dense.right for one in results) / len(results)
    assert share >= (0.6 if items.kind is TaskKind.GENERATION else few.chance + 0.25)
    assert all(one.dense == one.pruned for one in results)
