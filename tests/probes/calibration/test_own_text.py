"""What a model writes itself to calibrate on: drawn from its distribution, the same for a seed, and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from probes.calibration import own_text
from probes.calibration.samples import CalibrationSamples, samples
from probes.models.loaded import Loaded
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.events import WorkProgressed
from probes.schema.spec import CalibrationSpec
from probes.system.progress import Work
from tests.support.prune_models import TOKENIZER, loaded

END = TOKENIZER.eos_token_id
Written = list[tuple[int, int, int]]
"""Each time a model writes: how many samples, of what length, by which seed."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def dense() -> Loaded:
    return loaded("llama")


@pytest.fixture
def writings(monkeypatch: pytest.MonkeyPatch) -> Written:
    calls: Written = []
    write = own_text.write_own_text

    def counted(model: PreTrainedModel, begin: int, number: int, length: int, seed: int, work: Work) -> Tensor:
        calls.append((number, length, seed))
        return write(model, begin, number, length, seed, work)

    monkeypatch.setattr(own_text, "write_own_text", counted)
    return calls


def own(dense: Loaded, number: int, length: int, seed: int | None = None, source: str = "") -> CalibrationSamples:
    return samples(CalibrationSpec(source, number, length, seed), dense)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "mistral-sliding"])
def test_own_text_is_drawn_from_the_models_distribution_hot_at_first(architecture: str) -> None:
    model = loaded(architecture).model.double()
    generator = torch.Generator().manual_seed(1_000_003)
    slow = torch.full((32, 1), END)
    for heat in [2 - i / 10 for i in range(10)] + [1.0] * 4:
        with torch.inference_mode():
            logits = model(input_ids=slow, use_cache=False).logits[:, -1].float()
        drawn = torch.multinomial(torch.softmax(logits / heat, -1), 1, generator=generator)
        slow = torch.cat([slow, drawn], 1)
    assert torch.equal(own_text.write_own_text(model, END, 32, 15, 0, Work()), slow)


def test_the_same_seed_writes_the_same_whatever_follows(dense: Loaded) -> None:
    few, many, other = (
        own_text.write_own_text(dense.model, END, number, 9, seed, Work()) for number, seed in ((3, 5), (40, 5), (3, 6))
    )
    assert many.shape == (40, 9)
    assert torch.equal(many[:3], few)
    assert not torch.equal(few, other)
    assert len(set(map(tuple, many.tolist()))) == 40
    assert (many[:, 0] == END).all()


def test_own_text_is_written_once_and_then_kept(dense: Loaded, writings: Written) -> None:
    first = own(dense, 3, 8)
    again = own(loaded("llama"), 3, 8, 0, "self")
    assert torch.equal(first.ids, again.ids)
    assert first.info == again.info
    assert (first.info.source, first.info.seed) == ("self", 0)
    assert writings == [(3, 8, 0)]
    for model, number, length, seed in (
        (dense, 4, 8, 0),
        (dense, 3, 9, 0),
        (dense, 3, 8, 1),
        (loaded("gpt2"), 3, 8, 0),
    ):
        own(model, number, length, seed)
    assert len(writings) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: b"",
        lambda raw: raw[:-5],
        lambda raw: bytes(len(raw)),
        lambda raw: raw[:-4] + bytes(4),
        lambda raw: raw.replace(b"(3, 8)", b"(3, 8("),
        lambda raw: raw + b"more",
    ],
    ids=["empty", "cut short", "all zeros", "other ids", "header", "too long"],
)
def test_a_damaged_kept_text_is_written_anew(
    damage: Callable[[bytes], bytes], dense: Loaded, cache: Path, writings: Written
) -> None:
    first = own(dense, 3, 8)
    (file,) = cache.glob("calibration/**/*.npy")
    file.write_bytes(damage(file.read_bytes()))
    for _ in range(2):
        assert torch.equal(own(dense, 3, 8).ids, first.ids)
    assert len(writings) == 2


def test_writing_can_be_cancelled_and_nothing_half_is_kept(dense: Loaded, cache: Path) -> None:
    told: list[WorkProgressed] = []
    wanted = CalibrationSpec("", 40, 6)
    with pytest.raises(Cancelled, match="Writing text"):
        samples(wanted, dense, Work(told.append, lambda: len(told) > 7))
    assert not list(cache.glob("calibration/**/*.npy"))
    told.clear()
    assert samples(wanted, dense, Work(told.append)).ids.shape == (40, 6)
    done = [event.done for event in told if event.unit == "tokens" and event.done is not None]
    assert done == sorted(done)
    assert done[-1] < 240


def test_a_tokenizer_that_neither_begins_nor_ends_a_text_is_refused(dense: Loaded) -> None:
    inner = TOKENIZER.backend_tokenizer
    bare = replace(dense, tokenizer=PreTrainedTokenizerFast(tokenizer_object=inner))
    with pytest.raises(BadInput, match=r"no token that begins or ends a text.*--calibration FILE"):
        own(bare, 2, 5)
    ends = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")
    assert own_text.begin_id(ends) == ends.convert_tokens_to_ids("<|end|>")
    assert (own(replace(dense, tokenizer=ends), 2, 5).ids[:, 0] == ends.eos_token_id).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_model_that_computes_no_finite_numbers_is_refused(bad: float, dense: Loaded, cache: Path) -> None:
    dense.model.get_output_embeddings().weight.data[5] = bad
    with pytest.raises(Failure, match="computes NaN or infinity"):
        own(dense, 2, 5)
    assert not list(cache.glob("calibration/**/*.npy"))


# What ships for the demo model ----------------------------------------------------------------------------------


def shipped_ids() -> Tensor:
    with np.load(Path(own_text.__file__).with_name(own_text.SHIPPED)) as held:
        return torch.from_numpy(held["ids"].astype(np.int64))


def test_what_ships_is_taken_for_the_demo_model_and_no_other(dense: Loaded, writings: Written) -> None:
    demo = replace(dense, info=replace(dense.info, spec="demo"))
    found = own(demo, 5, 20)
    assert torch.equal(found.ids, shipped_ids()[:5, :20])
    assert (found.info.source, found.info.seed) == ("demo", 0)
    assert not writings
    assert own(dense, 5, 20).info.source == "self"
    assert writings == [(5, 20, 0)]


def test_what_does_not_ship_is_written_for_the_demo_model_too(dense: Loaded, writings: Written) -> None:
    demo = replace(dense, info=replace(dense.info, spec="demo"))
    number, _ = shipped_ids().shape
    assert own(demo, number + 1, 2).info.source == "self"
    assert own(demo, 2, 3, seed=1).info.source == "self"
    assert writings == [(number + 1, 2, 0), (2, 3, 1)]


def test_what_is_shipped_reads_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = torch.randint(0, 1 << 16, (6, 7))
    monkeypatch.setattr(own_text, "SHIPPED", str(tmp_path / "ids.npz"))
    assert own_text.shipped(3, 6, 7) is None
    (tmp_path / "ids.npz").write_bytes(own_text.ship(ids, 3))
    found = own_text.shipped(3, 6, 7)
    assert found is not None
    assert torch.equal(found, ids)
    for seed, number, length in ((0, 6, 7), (3, 7, 7), (3, 6, 8)):
        assert own_text.shipped(seed, number, length) is None


@pytest.mark.demo
def test_what_ships_is_the_demo_models_own_writing(demo: Loaded) -> None:
    ids = own(demo, 64, 256).ids
    begin = own_text.begin_id(demo.tokenizer)
    assert ids.shape == (64, 256)
    assert (ids[:, 0] == begin).all()
    assert 0 <= int(ids.min()) <= int(ids.max()) < demo.info.vocabulary
    assert len(set(map(tuple, ids[:, :16].tolist()))) == 64
    again = own_text.write_own_text(demo.model, begin, 32, 4, 0, Work())
    assert float((again == ids[:32, :4]).float().mean()) > 0.9  # another processor may draw otherwise once in a while
