"""Two models are compared over the tokens that both have; padding and added tokens do not make another tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models
from transformers import PreTrainedTokenizerFast

from probes.models.comparable import Common, check_comparable
from probes.models.loaded import Loaded
from probes.pair import Pair, load_pair
from probes.schema.errors import BadInput
from probes.schema.header import ModelInfo
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.schema.summary import summarise
from tests.support.gguf_file import convert_here, write_gguf
from tests.support.tiny import byte_tokenizer, metaspace_tokenizer, save, tiny

TOKENIZER = byte_tokenizer()
SIZE = len(TOKENIZER)
PROMPT = RunSettings("the king", steps=4)


def loaded(name: str, tokenizer: PreTrainedTokenizerFast, width: int, seed: int = 0) -> Loaded:
    info = ModelInfo(name, name, "", "", "Tiny", 3, 32, width, 1000, "float32", "cpu")
    return Loaded(tiny("llama", seed, vocab_size=width), tokenizer, info)


def adding(*tokens: str, special: bool = False, tokenizer: PreTrainedTokenizerFast | None = None):
    more = tokenizer or byte_tokenizer()
    more.add_tokens([AddedToken(token, special=special, normalized=False) for token in tokens])
    return more


def naming(**names: int) -> PreTrainedTokenizerFast:
    """The tokenizer with more names in its vocabulary, which no merge makes: as a GGUF file names padding."""
    return edited(lambda model: {**model, "vocab": {**model["vocab"], **names}})


def edited(change) -> PreTrainedTokenizerFast:
    plain = json.loads(byte_tokenizer().backend_tokenizer.to_str())
    plain["model"] = change(plain["model"])
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(plain)), bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def padded(count: int) -> PreTrainedTokenizerFast:
    return naming(**{f"[PAD{SIZE + i}]": SIZE + i for i in range(count)})


def common(one: PreTrainedTokenizerFast, other: PreTrainedTokenizerFast, a: int = SIZE + 8, b: int = SIZE + 8):
    """What is compared, the same from both sides."""
    found = check_comparable(loaded("a", one, a), loaded("b", other, b))
    back = check_comparable(loaded("b", other, b), loaded("a", one, a))
    assert found == back
    return found


def test_models_with_the_same_tokens_are_compared_over_all_of_them():
    found = common(TOKENIZER, byte_tokenizer(), SIZE, SIZE)
    assert found == Common(SIZE)
    assert (found.notes, found.warnings) == ((), ())


def test_models_with_different_tokens_are_refused_naming_sizes_and_the_first_difference():
    other = byte_tokenizer(merges=("Ġthe", "ing", "at"))
    assert len(other) == SIZE
    token = other.convert_tokens_to_ids("at")
    with pytest.raises(
        BadInput, match=f"{SIZE:,} tokens and b {SIZE:,}; token {token} is “er” in the first and “at” in the second"
    ):
        common(TOKENIZER, other)


def test_a_padded_vocabulary_is_compared_over_what_both_have_and_said_so():
    found = common(TOKENIZER, TOKENIZER, SIZE, SIZE + 24)
    assert found.size == SIZE
    (note,) = found.notes
    assert f"the first {SIZE:,} are compared" in note


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("width", [SIZE, SIZE + 2, SIZE + 8])
def test_tokens_added_to_one_tokenizer_are_left_out_with_a_note(special: bool, width: int):
    found = common(TOKENIZER, adding("<think>", "</think>", special=special), width)
    assert found == Common(SIZE)
    assert "2 tokens are (“<think>”, “</think>”) in one tokenizer only" in " ".join(found.notes)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (padded(8), TOKENIZER),
        (padded(8), adding("<think>")),
        (padded(8), adding("<think>", special=True)),
        (adding("<think>", "<a>"), adding("<tool>", "<a>")),
        (
            edited(lambda model: {**model, "ignore_merges": True, "vocab": {**model["vocab"], "[PAD9]": SIZE}}),
            TOKENIZER,
        ),
    ],
)
def test_padding_and_added_tokens_do_not_make_another_tokenizer(one, other):
    found = common(one, other)
    assert found.size == SIZE or found.foreign == {SIZE}
    assert found.notes or found.warnings


def test_tokens_that_differ_among_common_ones_are_warned_of_and_refused_in_a_prompt():
    one, other = adding("<think>", "<a>"), adding("<tool>", "<a>")
    found = common(one, other)
    assert (found.size, found.foreign) == (SIZE + 2, {SIZE})
    assert "“<think>”" in found.warnings[0]
    pair = Pair(loaded("a", one, SIZE + 2), loaded("b", other, SIZE + 2, 1), None, common=found)
    with pytest.raises(BadInput, match="<think>"):
        pair.lockstep(RunSettings("a <think> b"))
    with pair.lockstep(RunSettings("a <a> b", steps=1)) as lockstep:
        assert len(list(lockstep)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TOKENIZER, byte_tokenizer(merges=("Ġthe", "ing", "er", "at"))),
        (byte_tokenizer(merges=("Ġthe", "ing")), TOKENIZER),
        (TOKENIZER, metaspace_tokenizer()),
        (TOKENIZER, edited(lambda m: {**m, "ignore_merges": True, "vocab": {**m["vocab"], "xyz": SIZE}})),
    ],
)
def test_a_token_that_text_becomes_in_one_only_is_an_obstacle(one, other):
    for first, second in ((one, other), (other, one)):
        with pytest.raises(BadInput, match="Vocabularies differ"):
            check_comparable(loaded("a", first, 400), loaded("b", second, 400))


def test_an_ordinary_token_that_one_model_does_not_answer_over_is_an_obstacle():
    with pytest.raises(BadInput, match=f"a has only the first {SIZE - 1:,}, so it lacks token {SIZE - 1}, “er”"):
        check_comparable(loaded("a", TOKENIZER, SIZE - 1), loaded("b", TOKENIZER, SIZE))


def test_a_word_piece_is_text_whatever_it_is():
    vocabulary = {"[UNK]": 0, "a": 1, "b": 2}
    one, other = (
        PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({**vocabulary, **more}, unk_token="[UNK]")))
        for more in ({}, {"[PAD3]": 3})
    )
    with pytest.raises(BadInput, match="absent"):
        check_comparable(loaded("a", one, 4), loaded("b", other, 4))


def test_what_only_one_tokenizer_has_is_in_neither_distribution():
    a, b = loaded("a", TOKENIZER, SIZE + 8), loaded("b", padded(8), SIZE + 8, 1)
    pair = Pair(a, b, None, common=check_comparable(a, b))
    with pair.lockstep(PROMPT) as lockstep:
        path = list(lockstep)
    assert all(row.token_id < SIZE for record in path for row in record.own.top)
    ids = torch.tensor([list(pair.prompt(PROMPT).ids)])
    with torch.inference_mode():
        p, q = (one.model(input_ids=ids).logits[0, -1, :SIZE].double().log_softmax(-1) for one in (a, b))
    assert path[0].own.p.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-5)


@pytest.mark.parametrize("order", ["folder first", "gguf first"])
def test_a_folder_is_compared_with_its_own_gguf_file_that_names_its_padding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    convert_here(monkeypatch)
    model = tiny("llama", vocab_size=SIZE + 5)
    folder = save(tmp_path / "folder", model, TOKENIZER)
    file = write_gguf(tmp_path / "small.gguf", model)
    dense, pruned = (folder, file) if order == "folder first" else (file, folder)
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))
    with pair.lockstep(RunSettings("the king", follow=Follow.FREE, steps=6)) as lockstep:
        path = list(lockstep)
    assert summarise(path).kl_sum == 0
    assert pair.common == Common(SIZE)
    assert any(f"“[PAD{SIZE}]”" in note for note in pair.every_note)


def test_rounded_weights_of_a_gguf_file_show_as_what_they_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    convert_here(monkeypatch)
    model = tiny("llama", vocab_size=SIZE + 5)
    folder = save(tmp_path / "folder", model, TOKENIZER)
    rounded = tiny("llama", vocab_size=SIZE + 5)
    for parameter in rounded.parameters():
        parameter.copy_(parameter.mul(16).round().div(16) if parameter.dim() > 1 else parameter)
    file = write_gguf(tmp_path / "rounded.gguf", rounded)
    pair = load_pair(PairSpec(dense=str(folder), pruned=str(file)))
    with pair.lockstep(PROMPT) as lockstep:
        found = [record.own.p.kl for record in lockstep]
    prompt = list(pair.prompt(PROMPT).ids)
    with torch.inference_mode():
        p, q = (
            one(input_ids=torch.tensor([prompt])).logits[0, -1, :SIZE].double().log_softmax(-1)
            for one in (model, rounded)
        )
    assert found[0] == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-4)
    assert found[0] > 1e-4
