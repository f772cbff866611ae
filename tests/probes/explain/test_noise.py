"""The noise floor is that of plain passes computed in another way; the models in use are left alone; it is kept."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from probes.explain import kept_noise
from probes.explain.kept_noise import noise_floor
from probes.explain.noise import measure_noise
from probes.schema.errors import Cancelled, Failure
from probes.schema.noise_floor import MARGIN, Noise, NoiseFloor
from probes.system.progress import Work
from probes.system.threads import on_threads
from tests.support.explaining import CONTEXT, kl, plain
from tests.support.tiny import moved, tiny


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(floor: NoiseFloor) -> dict[str, dict[str, float]]:
    return {row.cause: dict(row.largest) for row in floor.rows}


def in_bfloat16(model: PreTrainedModel) -> PreTrainedModel:
    """A copy with converted weights; buffers, such as rotary frequencies, stay."""
    made = copy.deepcopy(model)
    for parameter in made.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    return made


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "falcon", "mixtral"])
def test_another_number_format_is_that_of_a_converted_copy(architecture: str) -> None:
    model = tiny(architecture)
    found = rows(measure_noise(model, CONTEXT, temperature=0.7))["bfloat16"]
    here, there = plain(model).double() / 0.7, plain(in_bfloat16(model)).double() / 0.7
    assert found["p.kl"] == pytest.approx(max(kl(a, b) for a, b in zip(here, there, strict=True)), rel=1e-6)
    assert found["z.max_abs"] == pytest.approx(0.7 * float((here - there).abs().max()), rel=1e-6)
    tokens = here.topk(2).indices
    margins = [one.gather(1, tokens)[:, 0] - one.gather(1, tokens)[:, 1] for one in (here, there)]
    assert found[MARGIN] == pytest.approx(float((margins[0] - margins[1]).abs().max()), rel=1e-6)
    cosines = torch.nn.functional.cosine_similarity(here, there)
    assert found["z.cos"] == pytest.approx(float((1 - cosines).max()), rel=1e-6)
    assert found["h.gap"] == found["h.cos"] > 0


def test_another_kernel_is_that_of_a_model_that_was_built_with_it() -> None:
    model = tiny("llama")
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    found = rows(measure_noise(model, CONTEXT))["eager attention"]
    here, there = plain(model).double(), plain(eager).double()
    assert found["z.max_abs"] == float((here - there).abs().max()) > 0


def test_the_model_in_use_is_left_as_it_was() -> None:
    model = tiny("llama")
    before = {name: (id(p), p.dtype) for name, p in model.named_parameters()}
    logits = plain(model)
    threads = torch.get_num_threads()
    measure_noise(model, CONTEXT)
    assert {name: (id(p), p.dtype) for name, p in model.named_parameters()} == before
    assert model.config._attn_implementation == "sdpa"
    assert all("forward" not in module.__dict__ for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert torch.equal(plain(model), logits)
    assert torch.get_num_threads() == threads


def test_other_threads_compute_with_their_own_number_meanwhile() -> None:
    before = torch.get_num_threads()
    changed, looked = threading.Event(), threading.Event()
    inside: list[int] = []

    def work() -> str:
        inside.append(torch.get_num_threads())
        changed.set()
        assert looked.wait(60)
        return "done"

    answers: list[str] = []
    other = threading.Thread(target=lambda: answers.append(on_threads(before + 1, work)))
    other.start()
    assert changed.wait(60)
    meanwhile = torch.get_num_threads()
    looked.set()
    other.join()
    assert (inside, meanwhile, answers) == ([before + 1], before, ["done"])
    fresh: list[int] = []
    later = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert fresh == [before]
    with pytest.raises(ZeroDivisionError):
        on_threads(before + 1, lambda: 1 // 0)
    assert torch.get_num_threads() == before


def test_causes_by_what_machine_and_model_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.explain.noise.os.cpu_count", lambda: 1)
    threads = torch.get_num_threads()
    found = measure_noise(tiny("bloom"), CONTEXT)
    assert found.steps == len(CONTEXT)
    assert {"bfloat16", "batch of 2"} <= rows(found).keys()
    assert found.skipped["sdpa attention"] == "BloomForCausalLM has one attention kernel only."
    if threads == 1:
        assert found.skipped["2 threads"] == "this machine has one processor."
    assert "FalconForCausalLM has one" in measure_noise(tiny("falcon"), CONTEXT).skipped["eager attention"]
    refused = measure_noise(tiny("gemma2"), CONTEXT).skipped["sdpa attention"]
    assert refused.startswith("Gemma2ForCausalLM does not support")
    assert refused.count(". ") == 0


def test_a_format_that_an_architecture_can_not_compute_in_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    model = copy.deepcopy(tiny("llama"))
    mlp = model.get_submodule("model.layers.1.mlp")
    weight = mlp.get_submodule("up_proj").weight
    monkeypatch.setattr(type(mlp), "forward", lambda _self, hidden: hidden @ weight.t() @ weight)
    found = measure_noise(model, CONTEXT)
    assert "LlamaForCausalLM can't be read so" in found.skipped["bfloat16"]
    assert "eager attention" in rows(found)


def test_a_pair_in_half_precision_has_full_precision_beside_its_floor() -> None:
    model = moved(tiny("llama"), torch.bfloat16)
    found = measure_noise(model, CONTEXT)
    assert found.own_dtype == "bfloat16"
    assert {"float32", "eager attention"} <= rows(found).keys()
    assert "bfloat16" not in rows(found)
    assert rows(found)["float32"]["p.kl"] > 0
    kept = [row for cause, row in rows(found).items() if cause != "float32"]
    assert found.floor("p.kl") == max(row["p.kl"] for row in kept)


def test_the_floor_leaves_number_formats_out() -> None:
    floor = NoiseFloor(3, (Noise("bfloat16", {"p.kl": 1.0}), Noise("2 threads", {"p.kl": 1e-9})), {}, "float32")
    assert floor.floor("p.kl") == 1e-9
    assert floor.floor(MARGIN) == 0


def test_a_model_that_is_not_finite_and_a_person_who_cancels() -> None:
    model = copy.deepcopy(tiny("llama"))
    with torch.no_grad():
        model.get_submodule("model.norm").weight.fill_(math.nan)  # type: ignore[operator,union-attr]
    with pytest.raises(Failure, match="no noise floor"):
        measure_noise(model, CONTEXT)
    with pytest.raises(Cancelled):
        measure_noise(tiny("llama"), CONTEXT, work=Work(cancelled=lambda: True))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The lengths of the contexts that were measured, with floors made up quickly."""
    lengths: list[int] = []

    def measure(_model: PreTrainedModel, context: list[int], **_: object) -> NoiseFloor:
        lengths.append(len(context))
        return NoiseFloor(min(48, len(context)), (Noise("2 threads", {"p.kl": 1e-9 * len(lengths)}),), {}, "float32")

    monkeypatch.setattr(kept_noise, "measure_noise", measure)
    kept_noise._unwritten.clear()
    yield lengths
    kept_noise._unwritten.clear()


def test_it_is_measured_once_for_equal_weights_and_settings(measured: list[int], cache: Path) -> None:
    first, notes = noise_floor(tiny("llama"), CONTEXT)
    assert (len(list((cache / "noise").glob("*.json"))), notes) == (1, ())
    assert noise_floor(copy.deepcopy(tiny("llama")), CONTEXT) == (first, ())
    assert len(measured) == 1
    noise_floor(tiny("llama"), CONTEXT, temperature=0.5)
    noise_floor(tiny("llama", seed=1), CONTEXT)
    noise_floor(moved(tiny("llama"), torch.bfloat16), CONTEXT)
    assert len(measured) == 4
    assert noise_floor(tiny("llama"), CONTEXT)[0] == first
    assert len(measured) == 4


def test_a_longer_context_is_measured_again(measured: list[int]) -> None:
    for length in (10, 20, 21, 40, 48, 400):
        noise_floor(tiny("llama"), [1] * length)
    assert measured == [10, 21, 48]


def test_a_damaged_file_is_measured_again_with_a_note(measured: list[int], cache: Path) -> None:
    first, _ = noise_floor(tiny("llama"), CONTEXT)
    (file,) = (cache / "noise").glob("*.json")
    for damage in (b"", b"\xff\xfe", b'{"steps": -1}', file.read_bytes()[:40]):
        file.write_bytes(damage)
        found, notes = noise_floor(tiny("llama"), CONTEXT)
        assert found.rows != first.rows
        assert "could not be read" in notes[0]
        assert noise_floor(tiny("llama"), CONTEXT) == (found, ())
    assert len(measured) == 5


def test_a_cache_that_can_not_be_written_is_a_note_and_nothing_is_measured_twice(
    measured: list[int], cache: Path
) -> None:
    cache.write_text("not a folder")
    found, notes = noise_floor(tiny("llama"), CONTEXT)
    assert any("can't be written" in note for note in notes)
    assert noise_floor(tiny("llama"), CONTEXT)[0] == found
    assert len(measured) == 1
