"""Embeddings, similarities and rankings: by hand, against a slow plain reading, and where a model fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from probes.schema.items import Collection, Document, ItemSet, Query, TaskKind
from probes.schema.task_options import TASK_DEFAULTS, Pooling, TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.stepping.cached_model import NextTokenOutput
from probes.tasks.readers import Readers
from probes.tasks.retrieval import plan_retrieval
from probes.tasks.scored_items import score_items
from tests.support.formulas import reference
from tests.support.scored_pairs import (
    DOCUMENTS,
    FIND,
    QUERIES,
    TOKENIZER,
    broken_at,
    paired,
    slow_read,
    tiny_pair,
)
from tests.support.tiny import metaspace_tokenizer, tiny


class ScriptedStates(Readers):
    """Readers whose two models have the same state at every token of a text: those given for its first byte."""

    def __init__(self, dense: dict[str, list[float]], pruned: dict[str, list[float]]) -> None:
        self.tokenizer, self.longest, self.vocabulary, self.foreign = TOKENIZER, 100, 10**6, frozenset()
        self.given = dense, pruned

    def mean_states(self, context: Sequence[int], start: int) -> tuple[Tensor, Tensor]:
        text = TOKENIZER.decode([context[0]])
        dense, pruned = (torch.tensor(one[text], dtype=torch.float64) for one in self.given)
        return dense, pruned

    def read_last(self, context: Sequence[int], positions: int = 1) -> Any:
        states = [one[None] for one in self.mean_states(context, 0)]
        return tuple(NextTokenOutput(one, one) for one in states)


def scored(readers: Readers, items: ItemSet, options: TaskOptions = TASK_DEFAULTS) -> list[Any]:
    plan = plan_retrieval(readers, items, (), options)
    found = list(plan.scored)
    assert len(found) == plan.texts
    return [one for texts in found for one in texts]


def test_a_case_by_hand() -> None:
    documents = (Document("a", "a"), Document("b", "b"), Document("c", "c"))
    items = ItemSet(
        "t",
        TaskKind.RETRIEVAL,
        collection=Collection(documents, (Query("1", "x", ("b",)), Query("2", "y", ("c", "b")))),
    )
    dense = {"a": [1.0, 0.0], "b": [0.0, 2.0], "c": [3.0, 4.0], "x": [0.0, 5.0], "y": [1.0, 1.0]}
    pruned = {"a": [1.0, 0.0], "b": [0.0, 2.0], "c": [3.0, 4.0], "x": [4.0, 3.0], "y": [1.0, 0.0]}
    one, similar, two = scored(ScriptedStates(dense, pruned), items)
    root = 0.5**0.5
    assert similar.queries == ("1", "2")
    assert similar.documents == ("a", "b", "c")
    assert similar.dense[0] == pytest.approx((0.0, 1.0, 0.8))
    assert similar.dense[1] == pytest.approx((root, root, 1.4 * root))
    assert similar.pruned[0] == pytest.approx((0.8, 0.6, 0.96))
    assert similar.pruned[1] == pytest.approx((1.0, 0.0, 0.6))
    assert (one.dense.choice, one.dense.right, one.dense.score) == ("b", True, 1.0)
    assert one.dense.margin == pytest.approx(0.2)
    assert (one.pruned.choice, one.pruned.right, one.pruned.score) == ("c", False, 1 / 3)
    assert one.pruned.margin == pytest.approx(0.16)
    # dense a < c < b; pruned b < a < c: of three pairs, a-c is alike
    assert one.ranking.tau == pytest.approx(-1 / 3)
    assert (one.ranking.rank_dense, one.ranking.rank_pruned) == (1, 3)
    assert one.ranking.moved == (("b", 1, 3), ("c", 2, 1), ("a", 3, 2))
    assert one.spaces.h.cos == pytest.approx(0.6)
    # dense c first, a and b equal; pruned a first, then c, then b
    assert (two.dense.choice, two.dense.right) == ("c", True)
    assert (two.pruned.choice, two.pruned.score) == ("a", 0.5)
    assert (two.ranking.positives_dense, two.ranking.positives_pruned) == ((1, 3), (2, 3))
    assert two.ranking.tau == pytest.approx((1 - 1) / (2 * 3) ** 0.5)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "mamba"])
@pytest.mark.parametrize("pooling", Pooling)
def test_it_agrees_with_plain_passes(architecture: str, pooling: Pooling) -> None:
    pair = tiny_pair(architecture)
    results = list(score_items(pair, [FIND], options=TaskOptions(pooling)))
    (similar,) = (one for one in results if isinstance(one, Similarities))
    texts = [one.text for one in (*QUERIES, *DOCUMENTS)]
    plain = []
    for model in (pair.dense.model, pair.pruned.model):
        states = [slow_read(model, TOKENIZER(text)["input_ids"])[0] for text in texts]
        plain.append([one.mean(0) if pooling is Pooling.MEAN else one[-1] for one in states])
    for found, embedded in zip((similar.dense, similar.pruned), plain, strict=True):
        cosines = torch.nn.functional.cosine_similarity(
            torch.stack(embedded[: len(QUERIES)])[:, None], torch.stack(embedded[len(QUERIES) :])[None], dim=-1
        )
        assert torch.tensor(found).double().numpy() == pytest.approx(cosines.numpy(), abs=1e-4)
    for place, query in enumerate(QUERIES):
        (result,) = (one for one in results if getattr(one, "item", None) == query.id)
        row = similar.dense[place]
        best = max(row)
        assert result.dense.choice == similar.documents[row.index(best)]
        rank = min(1 + sum(other > row[similar.documents.index(one)] for other in row) for one in query.positive)
        assert (result.ranking.rank_dense, result.dense.score) == (rank, 1 / rank)
        ids = TOKENIZER(query.text)["input_ids"]
        z, z2 = (slow_read(model, ids)[1] for model in (pair.dense.model, pair.pruned.model))
        wanted = reference(plain[0][place], plain[1][place], z[-1], z2[-1])
        assert result.spaces.h.cos == pytest.approx(wanted["h.cos"], abs=1e-4)
        assert result.spaces.p.kl == pytest.approx(wanted["p.kl"], rel=1e-3)


def test_special_tokens_before_a_text_are_read_and_left_out_of_the_mean() -> None:
    tokenizer = metaspace_tokenizer(bos=True)
    model = tiny("llama", vocab_size=len(tokenizer))
    items = replace(
        FIND, collection=Collection((Document("a", "the cat"), Document("b", "sat")), (Query("1", "cat", ("a",)),))
    )
    similar = next(
        one for one in score_items(paired(model, model, tokenizer, tokenizer), [items]) if isinstance(one, Similarities)
    )
    ids = [tokenizer(text)["input_ids"] for text in ("cat", "the cat", "sat")]
    assert {one[0] for one in ids} == {tokenizer.bos_token_id}
    query, *documents = (slow_read(model, one)[0][1:].mean(0) for one in ids)
    expected = [float(torch.cosine_similarity(query, one, dim=0)) for one in documents]
    assert similar.dense[0] == pytest.approx(expected, abs=1e-5)


def test_a_document_longer_than_the_context_is_cut_and_counted() -> None:
    long = "the cat sat on the mat. " * 20
    ids = TOKENIZER(long)["input_ids"]
    assert len(ids) > 256
    cut = TOKENIZER.decode(ids[:256])
    items, same = (
        replace(
            FIND, collection=Collection((*DOCUMENTS, Document("long", text)), (*QUERIES, Query("q", query, ("long",))))
        )
        for text, query in ((long, long), (cut, cut))
    )
    results, expected = (list(score_items(tiny_pair(), [one])) for one in (items, same))
    note = "1 document is cut to the first 256 tokens."
    for one, other in zip(results, expected, strict=True):
        if isinstance(one, Similarities):
            assert one == other
            continue
        assert isinstance(other, ItemResult)
        own = ("The query was cut to its first 256 tokens.",) if one.item == "q" else ()
        assert one == replace(other, notes=(*own, note))
        assert other.notes == ()


ODD = TOKENIZER("§", add_special_tokens=False)["input_ids"][-1]


def test_nan_in_a_document_ranks_it_last_and_in_a_query_counts_as_wrong() -> None:
    documents = (Document("odd", "a § cat"), *DOCUMENTS)
    queries = (Query("odd query", "which §", ("cats",)), *QUERIES, Query("odd", "a cat", ("odd",)))
    items = replace(FIND, collection=Collection(documents, queries))
    sound = tiny("llama", vocab_size=len(TOKENIZER))
    broken = broken_at(tiny("llama", vocab_size=len(TOKENIZER)), ODD)
    results = list(score_items(paired(sound, broken), [items]))
    (similar,) = (one for one in results if isinstance(one, Similarities))
    whole = {one.item: one for one in results if not isinstance(one, Similarities)}
    assert similar.pruned[0] == (None,) * len(documents)
    assert {row[0] for row in similar.pruned} == {None}
    assert similar.pruned[1][1:] == similar.dense[1][1:]
    assert all(one is not None for row in similar.dense for one in row)
    note = "1 document is ranked last, because the pruned model computes NaN or infinity there."
    assert {one.notes[-1] for one in whole.values()} == {note}
    first = whole["odd query"]
    assert (first.pruned.choice, first.pruned.right, first.pruned.score) == ("", False, 0.0)
    assert first.dense.choice
    assert (first.spaces, first.ranking) == (None, None)
    assert "The pruned model computes NaN or infinity" in first.notes[0]
    assert whole["odd"].ranking.rank_pruned == len(documents)
    assert whole["bark"].pruned.choice


def test_a_model_that_computes_nan_on_every_document_answers_nothing() -> None:
    documents = tuple(replace(one, text=f"§ {one.text}") for one in DOCUMENTS)
    items = replace(FIND, collection=replace(FIND.collection, documents=documents))
    broken = broken_at(tiny("llama", vocab_size=len(TOKENIZER)), ODD)
    for one in score_items(paired(tiny("llama", vocab_size=len(TOKENIZER)), broken), [items]):
        if not isinstance(one, Similarities):
            assert (one.pruned.choice, one.pruned.right, one.ranking) == ("", False, None)
            assert one.spaces is not None
