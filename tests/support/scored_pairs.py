"""Pairs of tiny models with a tokenizer, and item sets of every kind to score with them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.models.comparable import check_comparable
from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.schema.header import ModelInfo
from probes.schema.items import (
    QUESTION,
    Collection,
    Document,
    ItemSet,
    Query,
    Question,
    ShortAnswer,
    TaskKind,
    Way,
)
from probes.schema.task_results import ItemResult, Similarities
from tests.support.stepping import damaged
from tests.support.tiny import byte_tokenizer, tiny

TOKENIZER = byte_tokenizer(merges=("ĠA", "ĠB", "ĠC", "Ġcat", "Ġdog", "Ġred", "Ġfish"))

QUESTIONS = (
    Question("1", "Which one barks?", ("cat", "dog", "red fish"), 1),
    Question("2", "Which is a colour?", ("cat", "dog", "red"), 2),
    Question("3", "Which one swims?", ("a fish", "cat"), 0),
)
LETTERS = ItemSet("letters", TaskKind.OPTIONS, questions=QUESTIONS, wording=QUESTION)
WORDS = replace(LETTERS, name="words", way=Way.CONTINUATION)
DOCUMENTS = (
    Document("cats", "the cat sat on the mat"),
    Document("dogs", "a dog barks at night"),
    Document("colours", "red is a colour"),
    Document("fish", "fish swim in the sea, and do nothing else"),
)
QUERIES = (
    Query("bark", "who barks", ("dogs",)),
    Query("colour", "which colour", ("colours", "cats")),
    Query("swim", "who swims in the sea?", ("fish",)),
)
FIND = ItemSet("find", TaskKind.RETRIEVAL, collection=Collection(DOCUMENTS, QUERIES))
SAY = ItemSet(
    "say",
    TaskKind.GENERATION,
    prompts=(ShortAnswer("cat", "the cat", ("sat",)), ShortAnswer("dog", "the dog", ("barks", "eats"))),
)
EVERY_KIND = (LETTERS, WORDS, FIND, SAY)


def loaded(model: PreTrainedModel, name: str, tokenizer: Any = TOKENIZER) -> Loaded:
    config = model.config.get_text_config()
    info = ModelInfo(
        name,
        name,
        "",
        "",
        type(model).__name__,
        3,
        int(config.hidden_size),
        int(config.vocab_size),
        1,
        "float32",
        "cpu",
    )
    return Loaded(model, tokenizer, info)


def paired(dense: PreTrainedModel, pruned: PreTrainedModel, ours: Any = TOKENIZER, theirs: Any = TOKENIZER) -> Pair:
    one, other = loaded(dense, "dense", ours), loaded(pruned, "pruned", theirs)
    return Pair(one, other, None, common=check_comparable(one, other))


@functools.cache
def tiny_pair(architecture: str = "llama", noise: float = 0.3) -> Pair:
    """A tiny model and a damaged copy, or an exact one without noise. Nobody may change them."""
    dense = tiny(architecture, vocab_size=len(TOKENIZER))
    return paired(dense, damaged(dense, noise) if noise else copy.deepcopy(dense))


def broken_at(model: PreTrainedModel, token: int) -> PreTrainedModel:
    """The model, which computes NaN from this token on."""

    def break_it(_module: object, args: tuple[Any, ...], output: Any) -> Any:
        return output.masked_fill((args[0] == token)[..., None], float("nan"))

    model.get_input_embeddings().register_forward_hook(break_it)
    return model


def by_item(scored: Iterable[ItemResult | Similarities]) -> dict[tuple[str, str], ItemResult | Similarities]:
    """What was scored, by task and item; similarities by task and ""."""
    found = {}
    for one in scored:
        place = (one.task, one.item if isinstance(one, ItemResult) else "")
        assert place not in found
        found[place] = one
    return found


def slow_read(model: PreTrainedModel, ids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The states that enter the LM head, (tokens, d), and the logits, (tokens, V), of one pass without a cache, in
    float64."""
    seen: list[Tensor] = []
    head = model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _module, args: seen.append(args[0][0]))
    try:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        handle.remove()
    return seen[0].double(), logits.double()


def saying(model: PreTrainedModel, prompt: Sequence[int], tokens: Sequence[int]) -> PreTrainedModel:
    """The model, which after this prompt finds these tokens by far the likeliest, one after another."""

    def script(_module: object, _args: object, kwargs: dict[str, Any], output: Any) -> Any:
        place = int(kwargs["position_ids"][0, -1]) + 1 - len(prompt)
        if 0 <= place < len(tokens):
            output.logits[:, -1, tokens[place]] += 1000
        return output

    model.register_forward_hook(script, with_kwargs=True)
    return model
