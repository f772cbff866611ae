"""How an item becomes the tokens that both models read, and the tokens that are scored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from probes.models.prompting import read_prompt
from probes.schema.errors import BadInput
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
    Wording,
)
from probes.schema.settings import RunSettings
from probes.tasks.prompts import by_continuation, by_letter, item_prompt, short_answer_prompt
from tests.support.tiny import byte_tokenizer, metaspace_tokenizer

MERGES = ("ĠA", "ĠB", "Ġcat", "Ġdog", "Ġred")
BYTES = byte_tokenizer(merges=MERGES)
PIECES = metaspace_tokenizer(bos=True)
PET = Question("1", "Which one barks?", ("cat", "dog"), 1)


def options(*questions: Question, **changes: Any) -> ItemSet:
    return ItemSet("pets", TaskKind.OPTIONS, questions=questions, wording=QUESTION, **changes)


def labels(*questions: Question, **changes: Any) -> ItemSet:
    return replace(options(*questions), kind=TaskKind.CLASSIFICATION, **changes)


def words() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, without bytes to fall back on."""
    known = ["<unk>", "Which", "barks", "?", "cat", "dog", ":", "Question", "Answer", "one"]
    backend = Tokenizer(models.WordLevel({word: at for at, word in enumerate(known)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")


# By letter ----------------------------------------------------------------------------------------------------


def test_by_letter_lists_the_options_and_gives_both_surface_forms_of_each_letter():
    prompt = by_letter(BYTES, options(PET), PET)
    assert prompt.text == "Question: Which one barks?\nA. cat\nB. dog\nAnswer:"
    assert BYTES.decode(prompt.ids) == prompt.text
    assert prompt.names == ("A", "B")
    assert [BYTES.convert_ids_to_tokens(ids) for ids in prompt.tokens] == [["ĠA", "A"], ["ĠB", "B"]]


def test_a_space_that_is_a_token_by_itself_is_no_form_of_a_letter():
    tokenizer = byte_tokenizer(merges=())
    prompt = by_letter(tokenizer, options(PET), PET)
    assert [tokenizer.convert_ids_to_tokens(ids) for ids in prompt.tokens] == [["A"], ["B"]]


def test_labels_are_chosen_by_their_words():
    item = Question("1", "It barks.", ("cat", "dog"), 1)
    prompt = by_letter(BYTES, labels(item), item)
    assert prompt.text == "Question: It barks.\nAnswer:"
    assert prompt.names == ("cat", "dog")
    assert [BYTES.convert_ids_to_tokens(ids) for ids in prompt.tokens] == [["Ġcat", "c"], ["Ġdog", "d"]]


def test_a_form_in_which_two_labels_begin_with_one_token_is_left_out():
    item = Question("1", "It is a colour.", ("red", "rose"), 0)
    prompt = by_letter(BYTES, labels(item), item)
    assert [BYTES.convert_ids_to_tokens(ids) for ids in prompt.tokens] == [["Ġred"], ["Ġr"]]


def test_labels_that_share_their_first_token_need_continuation():
    item = Question("1", "It is a colour.", ("cat", "rose", "rust"), 0)
    with pytest.raises(
        BadInput, match=r"Item 1 of pets: “rose” and “rust” both begin with the token “r”\. .*continuation"
    ):
        by_letter(BYTES, labels(item), item)
    assert by_continuation(BYTES, labels(item), item).options == (" cat", " rose", " rust")


def test_more_options_than_letters_need_continuation():
    many = Question("1", "Which number?", tuple(map(str, range(27))), 3)
    with pytest.raises(BadInput, match=r"27 options.*continuation"):
        by_letter(BYTES, options(many), many)


# By continuation ----------------------------------------------------------------------------------------------


def test_a_continuation_is_the_tokens_of_the_whole_text_without_those_of_the_prompt():
    prompt = by_continuation(BYTES, options(PET), PET)
    assert prompt.text == "Question: Which one barks?\nAnswer:"
    assert prompt.options == (" cat", " dog")
    assert [BYTES.convert_ids_to_tokens(ids) for ids in prompt.continuations] == [["Ġcat"], ["Ġdog"]]
    assert list(prompt.ids) == BYTES(prompt.text)["input_ids"]


def test_a_boundary_that_merges_makes_all_options_begin_before_it():
    tokenizer = byte_tokenizer(merges=(":Ġcat",))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    prompt = by_continuation(tokenizer, options(PET), PET)
    assert tokenizer.decode(prompt.ids) == "Question: Which one barks?\nAnswer"
    assert [tokenizer.decode(ids) for ids in prompt.continuations] == [": cat", ": dog"]
    assert prompt.text.endswith("Answer:")


def test_a_beginning_token_is_read_once():
    prompt = by_continuation(
        PIECES, options(Question("1", "the", ("cat", "sat"), 0)), Question("1", "the", ("cat", "sat"), 0)
    )
    assert prompt.text.startswith("Question")
    assert prompt.ids.count(PIECES.bos_token_id) == 1
    assert [PIECES.convert_ids_to_tokens(ids) for ids in prompt.continuations] == [["▁cat"], ["▁sat"]]


def test_after_a_line_break_an_option_has_no_leading_space():
    items = options(PET, chat=True)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<|user|>{{ m.content }}<|end|><|assistant|>\n{% endfor %}"
    prompt = by_continuation(tokenizer, items, PET)
    assert prompt.text == "<|user|>Question: Which one barks?\nAnswer:<|end|><|assistant|>\n"
    assert prompt.options == ("cat", "dog")
    assert [tokenizer.decode(ids) for ids in prompt.continuations] == ["cat", "dog"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_an_option_that_tokenises_to_nothing_is_refused(blank):
    item = replace(PET, options=("cat", blank))
    with pytest.raises(BadInput, match=r"Item 1 of pets: the option “\s*” has no tokens"):
        by_continuation(BYTES, options(item), item)
    with pytest.raises(BadInput, match="has no tokens"):
        by_letter(BYTES, labels(item), item)


def test_words_that_the_vocabulary_lacks_are_refused():
    tokenizer = words()
    item = replace(PET, options=("cat", "wolf"))
    for read in (by_letter, by_continuation):
        with pytest.raises(BadInput, match=r"the vocabulary of this model does not have “wolf”"):
            read(tokenizer, labels(item), item)


def test_options_of_the_same_tokens_are_refused():
    tokenizer = words()
    item = replace(PET, options=("cat wolf", "cat hare"))
    with pytest.raises(BadInput, match=r"“cat wolf” and “cat hare” give the same tokens"):
        by_continuation(tokenizer, options(item), item)


# Wording ------------------------------------------------------------------------------------------------------


def test_an_instruction_stands_before_each_item_and_a_group_may_have_its_own_wording():
    moods = Wording("Review: Bad.\nMood: sad", "Review: {text}\nMood:")
    one, other = Question("1", "Good {text}.", ("a", "b"), 0, "moods"), Question("2", "Hm.", ("a", "b"), 0)
    items = labels(one, other, group_wordings={"moods": moods}, wording=replace(QUESTION, instruction="Answer."))
    assert by_continuation(BYTES, items, one).text == "Review: Bad.\nMood: sad\n\nReview: Good {text}.\nMood:"
    assert by_continuation(BYTES, items, other).text == "Answer.\n\nQuestion: Hm.\nAnswer:"


def test_a_prompt_with_a_short_answer_is_worded_too():
    item = ShortAnswer("1", "One and one is ", ("two",))
    items = ItemSet("sums", TaskKind.GENERATION, prompts=(item,), wording=Wording("Add."))
    assert short_answer_prompt(BYTES, items, item).text == "Add.\n\nOne and one is"
    assert short_answer_prompt(BYTES, replace(items, chat=True), item).text.startswith("<|user|>Add.\n\nOne")


# Opened as a run ----------------------------------------------------------------------------------------------


def test_an_item_opens_as_a_run_with_the_tokens_that_were_scored():
    for chat in (False, True):
        for way in Way:
            items = options(PET, way=way, chat=chat)
            scored = by_letter(BYTES, items, PET) if way is Way.LETTER else by_continuation(BYTES, items, PET)
            opened = item_prompt(BYTES, items, "1")
            assert read_prompt(BYTES, RunSettings(opened.prompt, raw=True)).ids == scored.ids
            assert opened.options[opened.answer] == "dog"
    assert item_prompt(BYTES, options(PET), "1").options == {"A": "cat", "B": "dog"}


def test_an_opened_item_begins_once():
    items = options(PET)
    opened = item_prompt(PIECES, items, "1")
    assert read_prompt(PIECES, RunSettings(opened.prompt, raw=True)).ids == by_letter(PIECES, items, PET).ids


def test_queries_and_prompts_open_too():
    sums = ItemSet("sums", TaskKind.GENERATION, prompts=(ShortAnswer("1", "One and one is", ("two", "2")),))
    assert (item_prompt(BYTES, sums, "1").prompt, item_prompt(BYTES, sums, "1").answer) == ("One and one is", "two")
    found = Collection((Document("d", "Dogs bark."),), (Query("q", "What barks?", ("d",)),))
    opened = item_prompt(BYTES, ItemSet("pets", TaskKind.RETRIEVAL, collection=found), "q")
    assert (opened.prompt, opened.options, opened.answer) == ("What barks?", {}, "d")
    with pytest.raises(BadInput, match="pets has no item '7'"):
        item_prompt(BYTES, options(PET), "7")
