"""Lockstep stepping: what each context means, that nothing comes of an exact copy, and that going back is exact."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace

import msgspec
import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import DynamicCache, PreTrainedModel

from probes.models.kv_cache import cache_name
from probes.recording.runs import empty_step
from probes.schema.errors import BadInput, Cancelled
from probes.schema.events import WorkProgressed
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.summary import Accumulator, summarise
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work
from tests.support.stepping import ONES, PROMPT, ZEROS, Words, damaged, lockstep
from tests.support.tiny import ARCHITECTURES, MORE, moved, tiny


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny("llama")


@pytest.fixture(scope="module")
def other(llama: PreTrainedModel) -> PreTrainedModel:
    return damaged(llama)


REFILLED = {"mamba"}
"""A state-space model can't step back: it reads the context again in larger pieces, which moves the last digits."""


@pytest.mark.parametrize("follow", ["dense", "pruned", "free", "text"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_an_exact_copy_differs_in_nothing(architecture: str, follow: str) -> None:
    model = tiny(architecture)
    text = [11, 12, 13, 14, 15, 16] if follow == "text" else ()
    sampling = Sampling(temperature=1.0, seed=4)
    with lockstep(model, copy.deepcopy(model), follow, text=text, sampling=sampling, steps=6) as both:
        path = list(both)
    assert len(path) == 6
    for record in path:
        assert record.same_context
        assert record.shared is record.own
        assert record.agree is True
        assert record.dense == record.pruned
        assert {getattr(getattr(record.own, g), name) for g, names in ZEROS.items() for name in names} == {0}
        assert {getattr(getattr(record.own, g), name) for g, names in ONES.items() for name in names} == {1}
    last = path[-1].sum
    assert (last.kl, last.kl_shared, last.log_ratio, last.survival, last.first_split) == (0, 0, 0, 1, None)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *MORE])
def test_stepping_back_and_on_gives_the_same_steps_bit_for_bit(architecture: str) -> None:
    model = tiny(architecture)
    with lockstep(model, damaged(model), "free", steps=20) as both:
        path = list(both)
        for back in (19, 12, 1, 0):
            both.seek(path[:back])
            again = [both.step() for _ in range(min(3, 20 - back))]
            if architecture in REFILLED:
                kls = [r.shared.p.kl for r in path[back : back + 3]]
                assert [r.shared.p.kl for r in again] == pytest.approx(kls, rel=1e-3, abs=1e-6)
            else:
                assert again == path[back : back + 3]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_logits_are_the_models_own(architecture: str) -> None:
    """The same tokens fed to the plain module in the same pieces give exactly the probabilities recorded."""
    model = tiny(architecture)
    other = damaged(model)
    with lockstep(model, other, steps=9) as both:
        path = list(both)
    for which, run in (("z_dense", model), ("z_pruned", other)):
        cache = DynamicCache()
        with torch.inference_mode():
            run(input_ids=torch.tensor([PROMPT[:-1]]), use_cache=True, **{cache_name(run): cache})
            token = PROMPT[-1]
            for record in path:
                answer = run(input_ids=torch.tensor([[token]]), use_cache=True, **{cache_name(run): cache})
                logits = answer.logits[0, -1]
                assert all(getattr(row, which) == float(logits[row.token_id]) for row in record.own.top)
                assert record.taken is not None
                token = record.taken.token_id


def test_hidden_state_is_what_enters_the_head(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, steps=1) as both:
        record = both.step()
    with torch.inference_mode():
        h, h2 = (m.model(input_ids=torch.tensor([PROMPT])).last_hidden_state[0, -1].double() for m in (llama, other))
    assert record.own is not None
    assert record.own.h.cos == pytest.approx(float(torch.cosine_similarity(h, h2, dim=0)), abs=1e-6)
    assert record.own.h.length_ratio == pytest.approx(float(h2.norm() / h.norm()), rel=1e-5)


def test_each_context_is_taken_from_where_it_should(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    paths = {}
    for follow in ("dense", "pruned", "free"):
        with lockstep(llama, other, follow, steps=12) as both:
            paths[follow] = list(both)
    assert all(r.taken.token_id == r.dense.token_id and not r.taken_pruned for r in paths["dense"])
    assert all(r.taken.token_id == r.pruned.token_id and not r.taken_pruned for r in paths["pruned"])
    assert all(
        r.taken.token_id == r.dense.token_id and r.taken_pruned.token_id == r.pruned.token_id for r in paths["free"]
    )
    assert any(r.split for r in paths["free"]), "the damage must show for this test to say anything"


def test_in_free_the_local_track_is_the_dense_context(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "dense", steps=12) as both:
        shared = list(both)
    with lockstep(llama, other, "free", steps=12) as both:
        free = list(both)
    split = free[-1].sum.first_split
    assert split is not None
    assert split < 12
    for one, two in zip(shared, free, strict=True):
        assert two.same_context == (two.step <= split)
        assert two.same_context == (two.step <= split)
        assert two.shared.p.kl == pytest.approx(one.own.p.kl, rel=1e-4, abs=1e-7)
        assert two.sum.kl_shared == pytest.approx(one.sum.kl, rel=1e-4)
        assert two.sum.survival == pytest.approx(one.sum.survival, rel=1e-4)
    with lockstep(llama, other, "pruned", steps=12) as both:
        own = list(both)
    assert [r.taken.token_id for r in own] == [r.taken_pruned.token_id for r in free]


def test_a_text_is_scored_by_both(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    text = [9, 8, 7, 6]
    with lockstep(llama, other, "text", text=text) as both:
        path = list(both)
        assert both.finished
    assert [r.taken.token_id for r in path] == text
    with torch.inference_mode():
        ids = torch.tensor([PROMPT + text])
        scores = [m(input_ids=ids).logits[0].double().log_softmax(-1)[range(5, 9), text].sum() for m in (llama, other)]
    assert path[-1].sum.log_ratio == pytest.approx(float(scores[0] - scores[1]), rel=1e-4)


def test_a_forced_token_is_taken_and_the_rest_follows(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "free", steps=8) as both:
        path = list(both)
        both.seek(path[:3])
        forked = both.step(dense=77, pruned=78)
        assert (forked.taken.token_id, forked.taken.forced) == (77, True)
        assert (forked.taken_pruned.token_id, forked.taken_pruned.forced) == (78, True)
        assert forked.own.p == path[3].own.p, "forcing a token changes what is taken, not what was measured"
        after = both.step()
        assert not after.same_context
        both.seek(path[:7])
        assert both.step().taken.token_id == path[7].taken.token_id
    for forced in ({"dense": 77}, {"pruned": 77}):
        with lockstep(llama, other, "dense", steps=8) as both:
            assert both.step(**forced).taken.token_id == 77


def first_tokens(path: list[StepRecord], side: str) -> list[int]:
    return [taken.token_id for r in path if (taken := getattr(r, side))]


def test_in_free_each_text_ends_on_its_own(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    sampled = Sampling(temperature=1.5, seed=8)
    with lockstep(llama, other, "free", steps=14, sampling=sampled) as both:
        path = list(both)
    dense, pruned = first_tokens(path, "taken"), first_tokens(path, "taken_pruned")
    early = next(t for t in dense if t not in pruned and dense.index(t) > path[-1].sum.first_split)
    with lockstep(llama, other, "free", steps=14, sampling=sampled, ends=frozenset({early})) as both:
        ended = list(both)
        at = dense.index(early) + 1
        assert ended[at - 1].taken.end
        assert all(r.taken is None and r.dense is None and r.own is None and r.shared is None for r in ended[at:])
        assert first_tokens(ended, "taken_pruned") == pruned
        assert math.isnan(ended[at].pruned.p)
        both.seek(ended[: at - 1])
        assert [both.step(), both.step()][0] == ended[at - 1]
    early = next(t for t in pruned if t not in dense and pruned.index(t) > path[-1].sum.first_split)
    with lockstep(llama, other, "free", steps=14, sampling=sampled, ends=frozenset({early})) as both:
        ended = list(both)
        at = pruned.index(early) + 1
        assert all(r.taken_pruned is None and r.pruned is None and r.own is None for r in ended[at:])
        assert all(r.shared is not None for r in ended[at:]), "the shared comparison goes on with the dense model"
        assert first_tokens(ended, "taken") == dense


def test_the_followed_text_ends_the_run(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "dense", steps=14) as both:
        dense = first_tokens(list(both), "taken")
    with lockstep(llama, other, "dense", steps=14, ends=frozenset({dense[4]})) as both:
        path = list(both)
        assert both.ended
        assert len(path) == dense.index(dense[4]) + 1
        with pytest.raises(ValueError, match="ended"):
            both.step()


@pytest.mark.parametrize("broken", ["dense", "pruned"])
def test_a_model_that_computes_nan_is_named_with_its_first_bad_layer(llama: PreTrainedModel, broken: str) -> None:
    bad = copy.deepcopy(llama)
    with torch.no_grad():
        bad.model.layers[1].mlp.up_proj.weight[0, 0] = math.nan
    dense, pruned = (bad, llama) if broken == "dense" else (llama, bad)
    with lockstep(dense, pruned, "dense", steps=3) as both:
        record = both.step()
        assert (record.invalid.model, record.invalid.layer) == (broken, "model.layers.1.mlp.up_proj")
        assert record.own is None
        assert record.sum.kl == 0
        assert both.finished == (broken == "dense"), "the dense text can't go on without the dense model"


def test_sum_of_kl_is_the_divergence_between_whole_continuations() -> None:
    """By the chain rule, the mean over all continuations of ΣKL is the KL between the two sequence distributions."""
    size, length = 5, 3
    dense = tiny("llama", vocab_size=size, bos_token_id=None, eos_token_id=None, pad_token_id=None)
    pruned = damaged(dense, 0.6)
    prompt = [1, 2]
    whole = expected = 0.0
    for text in itertools.product(range(size), repeat=length):
        settings = RunSettings("p", follow=Follow.TEXT, text="t")
        with Lockstep(dense, pruned, Words(), prompt, settings, text_ids=text) as both:
            path = list(both)
        with torch.inference_mode():
            ids = torch.tensor([[*prompt, *text]])
            log_p, log_q = (
                float(m(input_ids=ids).logits[0, 1:-1].double().log_softmax(-1)[range(length), text].sum())
                for m in (dense, pruned)
            )
        whole += math.exp(log_p) * (log_p - log_q)
        expected += math.exp(log_p) * path[-1].sum.kl
    assert whole > 0.05
    assert expected == pytest.approx(whole, rel=1e-4)


def test_sums_fold_the_records(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "free", steps=15, sampling=Sampling(temperature=0.8, seed=3)) as both:
        path = list(both)
    last = path[-1].sum
    assert last.kl == pytest.approx(sum(r.own.p.kl for r in path))
    assert last.kl_shared == pytest.approx(sum(r.shared.p.kl for r in path))
    assert last.survival == pytest.approx(math.prod(1 - r.shared.p.tv for r in path))
    assert last.log_ratio == pytest.approx(sum(math.log(r.taken.p / r.taken.q) for r in path))
    assert last.agree_rate == pytest.approx(sum(r.agree for r in path) / len(path))
    assert Accumulator.after(path).sums == last
    summary = summarise(path)
    assert summary.kl_sum == last.kl
    assert summary.perplexity_ratio == pytest.approx(math.exp(last.log_ratio / len(path)))
    assert summary.half_life == pytest.approx(15 * math.log(0.5) / math.log(last.survival))


def test_analysis_temperature_is_its_own_setting(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, steps=1, analysis_temperature=2.0) as both:
        warm = both.step()
    with lockstep(llama, other, steps=1) as both:
        plain = both.step()
    assert warm.dense.token_id == plain.dense.token_id
    assert warm.own.p.entropy_dense > plain.own.p.entropy_dense
    assert warm.own.h == plain.own.h


def test_sampled_steps_come_again_with_the_seed(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    def tokens(seed: int) -> list[int]:
        with lockstep(llama, other, "free", steps=10, sampling=Sampling(temperature=1.0, seed=seed)) as both:
            return first_tokens(list(both), "taken")

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


def test_a_prompt_that_does_not_fit_is_refused_with_its_length(llama: PreTrainedModel) -> None:
    settings = RunSettings("p")
    with pytest.raises(BadInput, match=r"300 tokens, but the models read at most 256"):
        Lockstep(llama, llama, Words(), [3] * 300, settings)
    with pytest.raises(BadInput, match="no tokens"):
        Lockstep(llama, llama, Words(), [], settings)


def test_a_prefill_tells_of_both_models_and_can_be_cancelled_in_either(
    llama: PreTrainedModel, other: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.stepping.cached_model.FILL", 1)
    size = len(PROMPT)
    told: list[WorkProgressed] = []
    with lockstep(llama, other) as stepping:
        stepping.prefill(Work(told.append))
        assert [(event.done, event.total) for event in told] == [
            (done, 2 * size) for done in (*range(1, size), *range(size + 1, 2 * size))
        ]
        plain = stepping.step()
    for last in (1, size):  # while the dense model reads, and while the pruned one does
        told.clear()
        with lockstep(llama, other) as stepping:
            with pytest.raises(Cancelled):
                stepping.prefill(Work(told.append, lambda last=last: len(told) == last))
            assert len(told) == last
            assert stepping.step() == plain


class Stream:
    """Stands for a GPU's stream: the passes that come before whatever is started on it now."""

    def __init__(self) -> None:
        self.after: set[str] = set()

    def wait_stream(self, other: Stream) -> None:
        self.after |= other.after


class OnDefaultStream(TorchFunctionMode):
    """Notes, for all that torch is asked on the default stream, which passes it comes after."""

    def __init__(self, streams: list[Stream]) -> None:
        super().__init__()
        self.streams = streams
        self.seen: set[frozenset[str]] = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if len(self.streams) == 1:
            self.seen.add(frozenset(self.streams[0].after))
        return function(*args, **(kwargs or {}))


def test_on_one_gpu_neither_pass_waits_for_the_other_and_the_comparison_for_both(
    llama: PreTrainedModel, other: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams, waited = [Stream()], {}

    @contextmanager
    def stream(entered: Stream) -> Iterator[None]:
        streams.append(entered)
        yield
        streams.pop()

    def enters(name: str) -> Callable[..., None]:
        def enter(*_: object) -> None:
            waited[name] = set(streams[-1].after)
            streams[-1].after.add(name)

        return enter

    monkeypatch.setattr(torch.cuda, "current_stream", lambda _device=None: streams[-1])
    monkeypatch.setattr(torch.cuda, "stream", stream)
    with lockstep(llama, other) as stepping:
        stepping.prefill()
        streams[0].after.clear()
        for model in stepping.models:
            setattr(model, "_stream", Stream())  # noqa: B010 - it is typed as one of a GPU
        hooks = [model.register_forward_pre_hook(enters(n)) for model, n in ((llama, "dense"), (other, "pruned"))]
        try:
            with OnDefaultStream(streams) as mode:
                stepping.step()
        finally:
            for hook in hooks:
                hook.remove()
    assert waited == {"dense": set(), "pruned": set()}
    assert mode.seen == {frozenset({"dense", "pruned"})}


def test_the_longest_context_ends_the_run(llama: PreTrainedModel) -> None:
    settings = RunSettings("p", steps=50)
    with Lockstep(llama, copy.deepcopy(llama), Words(), [3] * 250, settings) as both:
        assert len(list(both)) == 7
        assert both.finished


def leaves(value: object) -> list[object]:
    """All that a record holds, however deep."""
    if is_dataclass(value):
        return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name))]
    if isinstance(value, msgspec.Struct):
        return leaves(msgspec.structs.astuple(value))
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def test_no_step_keeps_anything_the_size_of_the_vocabulary() -> None:
    vocabulary = 512
    model = tiny("llama", vocab_size=vocabulary)
    with lockstep(model, damaged(model), "free", steps=2, top=4) as both:
        path = [both.step(dense=3, pruned=4), both.step()]
    assert not path[-1].same_context, "so that it holds two comparisons"
    for record in path:
        assert record.own is not None
        assert len(record.own.top) <= 8
        found = leaves(record)
        assert len(found) < vocabulary
        assert {type(leaf) for leaf in found} <= {int, float, str, bool, type(None)}


def test_tokens_that_a_model_lacks_are_refused_wherever_they_come_from(llama: PreTrainedModel) -> None:
    small = tiny("llama", vocab_size=100)
    assert max(PROMPT) < 100
    settings = RunSettings("p", follow=Follow.TEXT, text="t", steps=3)
    for dense, pruned in ((llama, small), (small, llama)):
        with pytest.raises(BadInput, match=r"The prompt has '100 ' \(token 100\).* first 100 tokens"):
            Lockstep(dense, pruned, Words(), [*PROMPT, 100], RunSettings("p"))
        with pytest.raises(BadInput, match="The text has '127 '"):
            Lockstep(dense, pruned, Words(), PROMPT, settings, text_ids=[5, 127])
        with Lockstep(dense, pruned, Words(), PROMPT, RunSettings("p", follow=Follow.FREE)) as both:
            first = both.step()
            for forced in ({"dense": 100}, {"pruned": 100}, {"dense": 5, "pruned": -1}):
                with pytest.raises(BadInput, match="The fork asks for"):
                    both.step(**forced)
            assert both.path == [first]
            assert both.step(dense=99).taken.token_id == 99


def test_a_model_that_goes_on_alone_keeps_to_the_tokens_both_have() -> None:
    wide, narrow = tiny("llama", vocab_size=400), tiny("llama", vocab_size=100)
    settings = RunSettings("p", follow=Follow.FREE, steps=60, sampling=Sampling(temperature=5.0, seed=1))
    with Lockstep(narrow, wide, Words(), PROMPT, settings, ends_dense=frozenset(range(100))) as both:
        path = list(both)
    assert path[-1].taken is None
    assert len(path) == 60
    assert max(record.taken_pruned.token_id for record in path) < 100


def test_the_likelihood_ratio_is_right_where_probabilities_are_too_small_for_numbers(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    text = [60, 3, 77, 9]
    cold = 1e-4
    settings = RunSettings("p", follow=Follow.TEXT, text="t", analysis_temperature=cold)
    with Lockstep(llama, other, Words(), PROMPT, settings, text_ids=text) as both:
        path = list(both)
        both.seek(path[:3])
        assert both.step().sum == path[3].sum
    assert any(record.taken.p == record.taken.q == 0 for record in path)
    expected = 0.0
    for model, sign in ((llama, 1), (other, -1)):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*PROMPT, *text[:-1]]])).logits[0, len(PROMPT) - 1 :].double()
        logs = (logits / cold).log_softmax(-1)
        expected += sign * float(logs[range(4), text].sum())
    assert path[-1].sum.log_ratio == pytest.approx(expected, rel=1e-4)
    assert summarise(path).log_ratio == path[-1].sum.log_ratio
    assert Accumulator.after(path).sums == path[-1].sum


def test_each_models_nll_and_perplexity_of_a_text_are_those_of_reading_it_at_once(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    text = [60, 3, 77, 9, 31]
    settings = RunSettings("p", follow=Follow.TEXT, text="t")
    with Lockstep(llama, other, Words(), PROMPT, settings, text_ids=text) as both:
        path = list(both)
    expected = []
    for model in (llama, other):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*PROMPT, *text[:-1]]])).logits[0, len(PROMPT) - 1 :].double()
        expected.append(-float(logits.log_softmax(-1)[range(5), text].sum()))
    summary = summarise(path)
    assert [summary.nll_dense, summary.nll_pruned] == pytest.approx(expected, rel=1e-5)
    assert [summary.nll_dense, summary.nll_pruned] == [path[-1].sum.nll_dense, path[-1].sum.nll_pruned]
    assert summary.scored == 5
    perplexities = [summary.perplexity_dense, summary.perplexity_pruned]
    assert perplexities == pytest.approx([math.exp(nll / 5) for nll in expected], rel=1e-5)
    assert summary.perplexity_ratio == pytest.approx(perplexities[1] / perplexities[0])
    assert math.prod(1 / record.taken.p for record in path) == pytest.approx(perplexities[0] ** 5, rel=1e-4)


def test_nll_is_summed_from_the_probabilities_where_a_recording_did_not_keep_it(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    with lockstep(llama, other, steps=6) as both:
        path = list(both)
    older = [replace(record, sum=replace(record.sum, nll_dense=None, nll_pruned=None)) for record in path]
    assert summarise(older).nll_dense == pytest.approx(path[-1].sum.nll_dense)
    assert summarise(older).nll_pruned == pytest.approx(path[-1].sum.nll_pruned)


@pytest.mark.parametrize("temperature", [1e-38, 9e-7, -1.0, math.inf, math.nan])
def test_temperatures_that_leave_no_digits_are_refused(temperature: float) -> None:
    with pytest.raises(BadInput, match="1e-06"):
        Sampling(temperature=temperature)
    with pytest.raises(BadInput, match="1e-06"):
        RunSettings("p", analysis_temperature=temperature)


def test_drift_is_counted_over_the_steps_that_have_both_figures(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    settings = RunSettings("p", follow=Follow.FREE, steps=30, sampling=Sampling(temperature=1.0, seed=2))
    with Lockstep(llama, other, Words(), PROMPT, settings, ends_pruned=frozenset({99})) as both:
        for _ in range(12):
            both.step()
        both.step(pruned=99)
        path = [*both.path, *both]
    assert len(path) == 30
    summary = summarise(path)
    both_figures = [record for record in path if record.own and record.shared]
    assert summary.kl.count == len(both_figures) == 13
    assert summary.kl_shared.count == 30
    assert summary.drift == pytest.approx(sum(r.own.p.kl - r.shared.p.kl for r in both_figures))
    assert summary.drift != pytest.approx(summary.kl_sum - summary.kl_shared_sum)


def test_the_local_table_is_shorter_and_its_overlap_of_as_many_tokens(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    with lockstep(llama, other, "free", steps=30, sampling=Sampling(temperature=2.0, seed=2)) as both:
        path = [record for record in both if not record.same_context]
    assert path
    assert all(len(record.shared.top) <= 10 for record in path)
    assert any(round(10 * record.shared.p.topk_overlap) % 2 for record in path), "tenths, not fifths"


def test_a_summary_of_some_steps_is_of_those_alone(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, steps=8, sampling=Sampling(temperature=1.0, seed=4)) as both:
        path = list(both)
    ratios = [math.log(record.taken.p / record.taken.q) for record in path]
    chosen = [path[i] for i in (0, 1, 3, 4, 6)]
    found = summarise(chosen)
    expected = sum(ratios[record.step - 1] for record in chosen)
    assert found.log_ratio == pytest.approx(expected)
    assert found.perplexity_ratio == pytest.approx(math.exp(expected / 5))
    assert summarise(path[7:]).log_ratio == pytest.approx(ratios[7])
    lost = [*path[:3], empty_step(path[:3]), *path[4:]]
    assert summarise(lost).log_ratio == pytest.approx(sum(ratios) - ratios[3])


def test_a_token_that_ends_one_text_alone_leaves_the_shared_context_its_figures(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    settings = RunSettings("p", follow=Follow.FREE, steps=8)
    with Lockstep(llama, other, Words(), PROMPT, settings, ends_pruned=frozenset({55})) as both:
        both.step(dense=55, pruned=55)
        path = [*both.path, *both]
    assert len(path) == 8
    for record in path[1:]:
        assert not record.same_context
        assert record.own is None
        assert record.shared is not None
        assert record.taken_pruned is None
    summary = summarise(path)
    assert summary.kl_shared.count == 8
    assert summary.log_ratio == pytest.approx(sum(math.log(r.taken.p / r.taken.q) for r in path))


def test_agreement_speaks_of_the_tokens_that_greedy_decoding_takes() -> None:
    """The pruned model's largest logit is shared by the dense model's choice and a token of a smaller id."""
    dense = tiny("llama", tie_word_embeddings=False)
    first = lockstep(dense, dense).step().dense
    assert first is not None
    chosen, other = first.token_id, first.token_id - 1
    pruned = copy.deepcopy(dense)
    pruned.lm_head.weight[other] = pruned.lm_head.weight[chosen]
    with lockstep(dense, pruned) as steps:
        record = steps.step()
    assert record.dense is not None
    assert record.pruned is not None
    assert (record.dense.token_id, record.pruned.token_id) == (chosen, other)
    assert record.agree is False
    assert record.split
    assert record.tied == ("pruned",)
    assert (record.sum.first_split, record.sum.agree_rate) == (1, 0.0)
    assert record.own is not None
    assert (record.own.p.rank_dense_in_pruned, record.own.p.rank_pruned_in_dense > 1) == (2, True)
    with lockstep(pruned, pruned) as steps:  # a tie of both is no disagreement
        record = steps.step()
    assert (record.agree, record.split, record.tied) == (True, False, ("dense", "pruned"))
    with lockstep(dense, dense) as steps:
        assert steps.step().tied == ()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_an_exact_copy_in_half_precision_is_exact_on_one_context_and_close_on_two(dtype: torch.dtype) -> None:
    dense = moved(tiny("llama"), dtype)
    pruned = copy.deepcopy(dense)
    with lockstep(dense, pruned, "free") as steps:
        for record in (steps.step(), steps.step()):
            assert record.own is not None
            h, z, p = record.own.h, record.own.z, record.own.p
            figures = (p.kl, p.tv, z.l2, h.angle, p.cos, h.cos)
            assert figures == (0, 0, 0, 0, 1, 1)
        steps.step(dense=5, pruned=7)  # from here on, one model reads one context and the other one both
        floor = [record.shared.p.kl for record in (steps.step(), steps.step(), steps.step()) if record.shared]
    assert len(floor) == 3
    assert max(floor) < 0.01
