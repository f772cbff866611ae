"""Stepping on a GPU: both models at once or one after the other, exact copies, cached contexts, recordings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.recording import RecordingWriter, read
from probes.schema.events import RunStarted, StepMeasured
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.stepping.cached_model import CachedModel
from probes.stepping.lockstep import Lockstep
from probes.stepping.retrace import retrace
from probes.twin.sharing import sharing_copy
from tests.support.formulas import assert_agrees, reference
from tests.support.stepping import ONES, PROMPT, ZEROS, damaged, lockstep
from tests.support.tiny import ARCHITECTURES, MORE, moved, tiny

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
ALLOWED = {torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.2}
"""Largest error of a cached logit, as a share of the largest logit."""
TEXT = [11, 12, 13, 14, 15, 16]

Both = Callable[..., Lockstep]


@pytest.fixture(params=["at once", "in turn"])
def both(request: pytest.FixtureRequest, device: torch.device) -> Both:
    """A lockstep whose models compute on streams of their own, or on one after the other."""

    def made(*given: Any, **options: Any) -> Lockstep:
        stepping = lockstep(*given, **options)
        for track in stepping.models:
            assert (track._stream is not None) == (device.type == "cuda")
            if request.param == "in turn":
                track._stream = None
        return stepping

    return made


def on(device: torch.device, architecture: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return moved(tiny(architecture), device, dtype)


def assert_no_difference(path: list[StepRecord]) -> None:
    for record in path:
        assert record.agree is True
        assert record.dense == record.pruned
        assert {getattr(getattr(record.own, g), name) for g, names in ZEROS.items() for name in names} == {0}
        assert {getattr(getattr(record.own, g), name) for g, names in ONES.items() for name in names} == {1}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_an_exact_copy_and_a_twin_without_changes_differ_in_nothing(
    architecture: str, dtype: torch.dtype, device: torch.device, both: Both
) -> None:
    model = on(device, architecture, dtype)
    for other in (copy.deepcopy(model), sharing_copy(model)):
        with both(model, other, "free", sampling=Sampling(temperature=1.0, seed=4), steps=6) as stepping:
            path = list(stepping)
        assert len(path) == 6
        assert_no_difference(path)
    with both(model, sharing_copy(model), "text", text=TEXT, steps=6) as stepping:
        assert_no_difference(list(stepping))


def test_a_twin_of_a_large_model_differs_in_nothing(large_loaded: Loaded, both: Both) -> None:
    model = large_loaded.model
    for follow in ("dense", "pruned", "free"):
        with both(model, sharing_copy(model), follow, steps=24) as stepping:
            path = list(stepping)
        assert len(path) == 24
        assert_no_difference(path)


def logits_by(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits
    return logits[0, -1]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_a_cached_step_says_what_a_full_pass_says(architecture: str, dtype: torch.dtype, device: torch.device) -> None:
    model = on(device, architecture, dtype)
    track = CachedModel(model)
    ids = [*PROMPT, *range(20, 34)]
    for length in (6, 7, 8, 12, 20, 9):  # the last one takes some back
        answer = track.read([ids[:length]])
        track.join()
        expected = logits_by(model, ids[:length]).float()
        assert float((answer.logits[0].float() - expected).abs().max() / expected.abs().max()) < ALLOWED[dtype]
    pair = track.read([[*ids, 3], [*ids, 4]])
    track.join()
    for row, end in enumerate((3, 4)):
        expected = logits_by(model, [*ids, end]).float()
        assert float((pair.logits[row].float() - expected).abs().max() / expected.abs().max()) < ALLOWED[dtype]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_figures_are_those_of_the_formulas_on_the_same_numbers(
    dtype: torch.dtype, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = on(device, "llama", dtype)
    other = moved(damaged(tiny("llama")), device, dtype)
    seen: list[tuple[torch.Tensor, ...]] = []
    measure = Lockstep._measure

    def look(self: Lockstep, step: int, answer: object, answer_pruned: object, *forced: object) -> StepRecord:
        numbers = (answer.hidden, answer_pruned.hidden, answer.logits, answer_pruned.logits)  # type: ignore[attr-defined]
        seen.append(tuple(one.float().cpu() for one in numbers))
        return measure(self, step, answer, answer_pruned, *forced)  # type: ignore[arg-type]

    monkeypatch.setattr(Lockstep, "_measure", look)
    with lockstep(model, other, "free", steps=12) as stepping:
        path = list(stepping)
    assert any(not record.same_context for record in path)
    for record, (h, h2, z, z2) in zip(path, seen, strict=True):
        assert record.shared is not None
        assert_agrees(record.shared, reference(h[0], h2[0], z[0], z2[0]))
        assert record.own is not None
        assert_agrees(record.own, reference(h[0], h2[-1], z[0], z2[-1]))


@pytest.mark.parametrize("follow", ["dense", "free"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_going_back_and_on_gives_the_same_steps_bit_for_bit(
    architecture: str, follow: str, device: torch.device, both: Both
) -> None:
    model = on(device, architecture)
    with both(model, moved(damaged(tiny(architecture)), device), follow, steps=14) as stepping:
        path = list(stepping)
        for back in (13, 8, 1, 0):
            stepping.seek(path[:back])
            again = [stepping.step() for _ in range(min(3, 14 - back))]
            if architecture == "mamba":  # its state can not be taken back: it reads the context again
                kls = [r.shared.p.kl for r in path[back : back + 3] if r.shared]
                assert [r.shared.p.kl for r in again if r.shared] == pytest.approx(kls, rel=1e-3, abs=1e-6)
            else:
                assert again == path[back : back + 3]


@pytest.mark.parametrize("follow", ["dense", "free"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_a_branch_leaves_its_path_and_comes_back(
    architecture: str, follow: str, device: torch.device, both: Both
) -> None:
    model = on(device, architecture)
    with both(model, moved(damaged(tiny(architecture)), device), follow, steps=14) as stepping:
        path = list(stepping)
        stepping.seek(path[:5])
        forked = stepping.step(dense=77)
        assert forked.taken is not None
        assert (forked.taken.token_id, forked.own) == (77, path[5].own)
        assert stepping.step().step == 7
        stepping.seek(path[:5])
        assert [stepping.step() for _ in range(3)] == path[5:8]


def test_the_same_seed_gives_the_same_tokens_as_on_the_cpu_and_as_before(device: torch.device, both: Both) -> None:
    dense, pruned = tiny("llama"), damaged(tiny("llama"))
    options: dict[str, Any] = {"sampling": Sampling(temperature=0.9, top_k=60, top_p=0.95, seed=11), "steps": 24}

    def tokens(path: list[StepRecord]) -> list[tuple[int, int]]:
        return [(r.dense.token_id, r.pruned.token_id) for r in path if r.dense and r.pruned]

    with lockstep(dense, pruned, "free", **options) as stepping:
        on_cpu = list(stepping)
    dense, pruned = moved(dense, device), moved(pruned, device)
    paths = []
    for _ in range(2):
        with both(dense, pruned, "free", **options) as stepping:
            paths.append(list(stepping))
    assert paths[0] == paths[1]
    assert tokens(paths[0]) == tokens(on_cpu)


@pytest.mark.parametrize("follow", ["dense", "pruned", "free", "text"])
def test_at_once_and_in_turn_give_the_same_figures(follow: str, device: torch.device, large_loaded: Loaded) -> None:
    model = large_loaded.model
    other = sharing_copy(model)
    other.model.layers[1].mlp.down_proj.weight = torch.nn.Parameter(
        model.model.layers[1].mlp.down_proj.weight * 0.5, requires_grad=False
    )
    paths = []
    for streams in (True, False, True):
        text = TEXT if follow == "text" else ()
        with lockstep(model, other, follow, text=text, steps=16) as stepping:
            if not streams:
                for cached in stepping.models:
                    cached._stream = None
            paths.append(list(stepping))
    assert paths[0] == paths[1] == paths[2]
    assert any(record.shared.p.kl > 0 for record in paths[0] if record.shared)


def test_a_recording_made_here_opens_and_its_steps_are_measured_again_to_the_last_bit(
    large_loaded: Loaded, tmp_path: Path
) -> None:
    other = sharing_copy(large_loaded.model)
    other.model.layers[0].mlp.down_proj.weight = torch.nn.Parameter(
        large_loaded.model.model.layers[0].mlp.down_proj.weight * 0.5, requires_grad=False
    )
    pair = Pair(large_loaded, Loaded(other, large_loaded.tokenizer, large_loaded.info), None)
    settings = RunSettings("the king", follow=Follow.FREE, steps=12, sampling=Sampling(temperature=1.0, seed=5))
    prompt = pair.prompt(settings)
    with RecordingWriter(tmp_path / "run.jsonl") as writer, pair.lockstep(settings, prompt) as stepping:
        writer.write(RunStarted(0, pair.header(settings, prompt)))
        path = []
        for record in stepping:
            path.append(record)
            writer.write(StepMeasured(0, 0, record))
    recorded = read(tmp_path / "run.jsonl").last.path
    assert recorded == path
    with pair.lockstep(settings, prompt) as stepping:
        again = retrace(stepping, recorded)
    assert again.differences == ()


def test_of_equal_logits_the_first_counts_as_on_the_cpu(device: torch.device) -> None:
    from probes.stepping.distribution import Distribution
    from probes.stepping.sampling import Sampler
    from probes.stepping.spaces import compare

    numbers = torch.Generator().manual_seed(3)
    # Few different values, as logits of half precision have them, so that very many are equal.
    z, z2 = (torch.randint(-6, 7, (128_000,), generator=numbers).to(torch.bfloat16) for _ in range(2))
    h, h2 = (torch.randn(64, generator=numbers) for _ in range(2))
    (there,) = compare(h[None], h2[None], Distribution(z[None]), Distribution(z2[None]))
    z, z2, h, h2 = (one.to(device) for one in (z, z2, h, h2))
    (here,) = compare(h[None], h2[None], Distribution(z[None]), Distribution(z2[None]))
    assert [row.token_id for row in here.top] == [row.token_id for row in there.top]
    assert [(row.rank_dense, row.rank_pruned) for row in here.top] == [
        (row.rank_dense, row.rank_pruned) for row in there.top
    ]
    assert here.p.kl == pytest.approx(there.p.kl, rel=1e-12)
    assert here.p.topk_overlap == there.p.topk_overlap
    assert Sampler(Sampling()).choose(z, 1) == int(z.float().cpu().argmax())
