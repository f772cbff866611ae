"""What is given back is a setting that does just what was measured; neither models nor run are touched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from probes.explain import held_out
from probes.explain import repair as repairing
from probes.explain.repair import repair
from probes.explain.repair_question import Question
from probes.explain.restored_passes import RestoredPasses
from probes.explain.search import Names, Score
from probes.explain.span_score import span_score
from probes.models.loaded import Loaded, with_fingerprint
from probes.pair import Pair, pair_with_foreign, pair_with_twin
from probes.prune.single_weights import span_logits
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.prune_setting import Method, parse
from probes.schema.repair import Repair, RepairGoal, RepairLevel
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("hello there", raw=True)
SPAN = range(3, 7)
HELD_OUT = 5


@pytest.fixture(autouse=True)
def _little_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps are held out, and each test keeps what it measured in a folder of its own."""
    monkeypatch.setattr(held_out, "STEPS", HELD_OUT)
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "config"))


@pytest.fixture(scope="module")
def dense() -> Loaded:
    return with_fingerprint(loaded("llama"))


def stepped(pair: Pair, steps: int = 6, settings: RunSettings = SETTINGS) -> Lockstep:
    lockstep = pair.lockstep(settings)
    while len(lockstep.path) < steps and not lockstep.finished:
        lockstep.step()
    return lockstep


@pytest.fixture(scope="module")
def half(dense: Loaded) -> Pair:
    return pair_with_twin(dense, parse("magnitude:0.5"), FEW)


@pytest.fixture
def run(half: Pair) -> Iterator[Lockstep]:
    with stepped(half) as lockstep:
        yield lockstep


def applied(pair: Pair, lockstep: Lockstep, found: Repair) -> tuple[float, float]:
    """The mean KL on the span, and on the steps after it, of a pair that is pruned by the setting found."""
    again = pair_with_twin(pair.dense, parse(found.setting), FEW)
    fitted = Question.of(pair, lockstep, SPAN).fitted
    with lockstep.continued() as ahead:
        while len(ahead.path) < SPAN[-1] + HELD_OUT and not ahead.finished:
            ahead.step()
        longer = Question.of(pair, ahead, range(SPAN[-1] + 1, len(ahead.path) + 1)).fitted
    scores = [
        span_score(span_logits(pair.dense.model, text), span_logits(again.pruned.model, text), text)
        for text in (fitted, longer)
    ]
    return scores[0].kl, scores[1].kl


@pytest.mark.parametrize(
    ("architecture", "setting", "level"),
    [
        ("llama", "magnitude:0.5", "sublayer"),
        ("gpt2", "sparsegpt:0.6", "matrix"),
        ("gpt2", "sparsegpt:0.6", "weight"),
        ("gemma2", "neurons:0.5+drop-attn@layers=0,2", "sublayer"),
        ("gemma3", "magnitude:0.6@attn+drop-block@layers=1", "matrix"),
        ("falcon", "magnitude:0.6+drop-mlp@layers=1", "sublayer"),
        ("mixtral", "drop-mlp@layers=0,2+magnitude:0.5@attn", "sublayer"),
    ],
)
def test_pruning_by_the_setting_gives_the_figures_that_were_reported(
    architecture: str, setting: str, level: RepairLevel
) -> None:
    dense = with_fingerprint(loaded(architecture))
    pair = pair_with_twin(dense, parse(setting), FEW)
    with stepped(pair, settings=replace(SETTINGS, prompt="more words than one")) as lockstep:
        found = repair(pair, lockstep, SPAN, RepairGoal(budget=6000), level=level)
        assert found.held_out is not None
        assert found.span.kl_after < found.span.kl_before
        assert applied(pair, lockstep, found) == (found.span.kl_after, found.held_out.kl_after)
        assert found.held_out_text == f"the {found.held_out.steps} steps after the span"
    assert found.parameters <= 6000
    assert found.parameters == sum(one.parameters for one in found.given_back)
    last = found.given_back[-1]
    assert (last.kl_after, last.agree_after) == (found.span.kl_after, found.span.agree_after)
    again = pair_with_twin(dense, parse(found.setting), FEW)
    assert pair.report is not None
    assert again.report is not None
    zeros = [report.zeroed - report.zeroed_before for report in (pair.report, again.report)]
    dropped = [report.dropped_parameters for report in (pair.report, again.report)]
    came = zeros[0] - zeros[1] + dropped[0] - dropped[1]
    assert came == found.parameters or bool(pair.report.dropped)  # zeros in dropped matrices are counted with them


def test_the_stepping_pair_comes_to_the_same_state_by_itself(half: Pair, run: Lockstep) -> None:
    pair = pair_with_twin(half.dense, parse("magnitude:0.5"), FEW)
    with stepped(pair) as lockstep:
        found = repair(pair, lockstep, SPAN, RepairGoal(kl=0.1))
        fitted = Question.of(pair, lockstep, SPAN).fitted
    repruned = pair.repruned(parse(found.setting))
    after = span_score(span_logits(pair.dense.model, fitted), span_logits(repruned.pruned.model, fitted), fitted)
    assert after.kl == found.span.kl_after <= 0.1
    assert found.reached


def test_neither_the_models_nor_the_run_are_touched(half: Pair, run: Lockstep) -> None:
    assert half.twin is not None
    state, path = half.twin.state, list(run.path)
    modules = [dict(model.named_modules()) for model in (half.dense.model, half.pruned.model)]
    weights = {name: weight.clone() for name, weight in half.pruned.model.named_parameters()}
    for level in ("sublayer", "matrix", "weight"):
        repair(half, run, SPAN, RepairGoal(kl=0.2), level=level)
    assert half.twin.state is state
    assert list(run.path) == path
    assert [dict(model.named_modules()) for model in (half.dense.model, half.pruned.model)] == modules
    assert all(torch.equal(weight, weights[name]) for name, weight in half.pruned.model.named_parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for found in modules for m in found.values())


PLANTS = [
    ("attn", 0, "mlp", 1),
    ("attn", 1, "attn", 2),
    ("mlp", 0, "mlp", 2),
    ("mlp", 1, "attn", 1),
    ("attn", 0, "mlp", 0),
]


def test_one_and_two_planted_faults_are_given_back_and_nothing_more(dense: Loaded) -> None:
    """A model that is lightly pruned everywhere, and heavily in one or two sublayers: the search gives back those."""
    exact = 0
    light = pair_with_twin(dense, parse("magnitude:0.1"), FEW)
    for kind, layer, other, where in PLANTS:
        for planted in ([(kind, layer)], [(kind, layer), (other, where)]):
            heavy = "".join(f"+magnitude:0.95@{one}@layers={at}" for one, at in planted)
            pair = pair_with_twin(dense, parse(f"magnitude:0.1{heavy}"), FEW)
            with stepped(pair) as lockstep:
                fitted = Question.of(pair, lockstep, SPAN).fitted
                whole, lightly = (span_logits(m, fitted) for m in (dense.model, light.pruned.model))
                background = span_score(whole, lightly, fitted).kl
                found = repair(pair, lockstep, SPAN, RepairGoal(kl=2 * background))
            exact += {(one.sublayer, one.layer) for one in found.given_back} == {*planted}
    assert exact >= 0.9 * 2 * len(PLANTS)


def test_a_dropped_attention_comes_back_by_its_name(dense: Loaded) -> None:
    pair = pair_with_twin(dense, parse("drop-block@layers=1+drop-attn@layers=2"), FEW)
    with stepped(pair) as lockstep:
        found = repair(pair, lockstep, SPAN, RepairGoal(budget=4000))
    assert {(one.sublayer, one.layer) for one in found.given_back} == {("attn", 1)} or found.parameters <= 4000
    again = pair_with_twin(dense, parse(found.setting), FEW)
    assert again.report is not None
    dropped = {"attn 1", "mlp 1", "attn 2"} - {f"{one.sublayer} {one.layer}" for one in found.given_back}
    assert {str(half) for part in again.report.dropped_parts for half in part.sublayers} == dropped


def test_it_is_the_same_again_and_from_what_was_kept(
    half: Pair, run: Lockstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = RepairGoal(kl=0.1)
    first = repair(half, run, SPAN, goal, level="matrix")
    measured: list[Names] = []
    score = RestoredPasses.score

    def counted(self: RestoredPasses, given: Names, near: Names) -> Score:
        measured.append(given)
        return score(self, given, near)

    monkeypatch.setattr(RestoredPasses, "score", counted)
    assert repair(half, run, SPAN, goal, level="matrix") == first
    assert len(measured) == 3  # of the answer, and of the held-out text before and after


def test_a_search_that_was_stopped_goes_on_where_it_was(
    half: Pair, run: Lockstep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goal = RepairGoal(kl=0.1)
    heard: list[float] = []

    def progress(event: object) -> None:
        if getattr(event, "task", "") == repairing.TASK:
            heard.append(getattr(event, "done", 0.0))

    for stop in (2, 5):
        heard.clear()
        with pytest.raises(Cancelled):
            repair(half, run, SPAN, goal, work=Work(progress, lambda stop=stop: len(heard) >= stop))
    kept = len(next((tmp_path / "cache" / "repairs").glob("*.jsonl")).read_text().splitlines())
    assert kept >= 4
    resumed = repair(half, run, SPAN, goal)
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "other"))
    assert repair(half, run, SPAN, goal) == resumed


def test_the_best_set_so_far_is_told_while_the_search_goes_on(half: Pair, run: Lockstep) -> None:
    goal = RepairGoal(kl=0.1)
    told: list[Repair] = []
    whole = repair(half, run, SPAN, goal, early=told.append)
    kls = [one.span.kl_after for one in told]
    assert kls == sorted(kls, reverse=True)
    assert kls[0] < whole.span.kl_before
    assert told[-1].reached == whole.reached
    assert all(one.held_out is None and parse(one.setting) and one.given_back for one in told)
    assert all(one.given_back[-1].kl_after == one.span.kl_after for one in told)


def test_a_damaged_line_is_measured_again(half: Pair, run: Lockstep, tmp_path: Path) -> None:
    first = repair(half, run, SPAN, RepairGoal(kl=0.1))
    (place,) = (tmp_path / "cache" / "repairs").glob("*.jsonl")
    text = place.read_text()
    place.write_text("{\n[1]\n" + text[: len(text) // 2] + '\n[["attn 0"], -3, [1, 1, 1, 1]]\n')
    assert repair(half, run, SPAN, RepairGoal(kl=0.1)) == first


def test_a_target_is_reached_only_if_the_figures_of_the_setting_reach_it(
    half: Pair, run: Lockstep, tmp_path: Path
) -> None:
    repair(half, run, SPAN, RepairGoal(kl=0.1))
    (place,) = (tmp_path / "cache" / "repairs").glob("*.jsonl")
    place.write_text('[["attn 0"], 0.001, [1, 1, 1, 1]]\n')  # a figure that is not so
    found = repair(half, run, SPAN, RepairGoal(kl=0.01))
    assert found.span.kl_after > 0.01
    assert not found.reached


def test_without_a_place_to_keep_sets_it_says_so(
    half: Pair, run: Lockstep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "file"))
    found = repair(half, run, SPAN, RepairGoal(kl=0.1))
    assert found.reached
    assert any("can't be written" in note for note in found.notes)


def test_a_second_prompt_is_held_out(half: Pair, run: Lockstep) -> None:
    found = repair(half, run, SPAN, RepairGoal(kl=0.1), held_out="another text")
    assert found.held_out_text == f"{HELD_OUT} steps after “another text”"
    assert found.held_out is not None
    assert found.held_out.steps == HELD_OUT
    assert repair(half, run, SPAN, RepairGoal(kl=0.1), held_out="something else").held_out != found.held_out


def test_a_text_that_ends_with_the_span_has_nothing_after_it(half: Pair) -> None:
    settings = RunSettings("hello", raw=True, follow=Follow.TEXT, text="abcdef")
    with stepped(half, 6, settings) as lockstep:
        found = repair(half, lockstep, SPAN, RepairGoal(kl=0.1))
        assert (found.held_out, found.held_out_text) == (None, "")
        earlier = repair(half, lockstep, range(2, 4), RepairGoal(kl=0.1))
        assert earlier.held_out_text == "the 3 steps after the span"


def test_the_tokens_can_be_the_goal(half: Pair, run: Lockstep) -> None:
    fitted = Question.of(half, run, SPAN).fitted
    dense_top, before = (span_logits(m, fitted).argmax(-1) for m in (half.dense.model, half.pruned.model))
    first = int((dense_top != before).nonzero()[0])
    found = repair(half, run, SPAN, RepairGoal())
    assert found.target_no_split
    assert found.reached
    after = pair_with_twin(half.dense, parse(found.setting), FEW)
    top = span_logits(after.pruned.model, fitted).argmax(-1)
    assert torch.equal(top[: first + 1], dense_top[: first + 1])
    share = repair(half, run, SPAN, RepairGoal(agreement=0.5))
    assert share.span.agree_after >= 0.5 > share.span.agree_before


def test_a_target_that_only_the_dense_model_reaches_is_reported(half: Pair, run: Lockstep) -> None:
    """A KL of 0 asks for everything back; a budget is another reason for a target out of reach."""
    exact = repair(half, run, SPAN, RepairGoal(kl=0.0))
    assert (exact.reached, exact.only_dense) == (False, True)
    assert not repair(half, run, SPAN, RepairGoal(kl=0.0, budget=9000)).only_dense
    assert not repair(half, run, SPAN, RepairGoal(kl=0.1)).only_dense


def test_weights_come_back_as_one_share_with_its_file(half: Pair, run: Lockstep, tmp_path: Path) -> None:
    path = str(tmp_path / "a+b.json")
    found = repair(half, run, SPAN, RepairGoal(kl=0.15), level="weight", out=path)
    part = parse(found.setting).parts[-1]
    assert (part.method, part.file) == (Method.RESTORE, path)
    assert found.reached
    assert found.span.kl_after <= 0.15
    fewer = repair(half, run, SPAN, RepairGoal(budget=found.parameters // 2), level="weight")
    assert fewer.parameters <= found.parameters // 2
    assert fewer.span.kl_after > 0.15
    assert "/config/restored/" in fewer.setting


@pytest.mark.parametrize(
    ("setting", "goal", "level", "sentence"),
    [
        ("magnitude:0.5@attn@layers=1", {"kl": 0.01}, "sublayer", "Only attn 1 is pruned"),
        ("magnitude:0.5", {"kl": 50}, "sublayer", "the target is met in the 4 steps"),
        ("magnitude:0.5", {"budget": 10}, "sublayer", "A budget of 10 parameters is less than any sublayer"),
        ("neurons:0.5", {"kl": 0.01}, "weight", "No weight is pruned one by one"),
        ("magnitude:0.5", {"kl": 50}, "weight", "the target is met"),
    ],
)
def test_what_can_not_be_given_back_is_a_sentence(
    dense: Loaded, setting: str, goal: dict[str, float], level: RepairLevel, sentence: str
) -> None:
    pair = pair_with_twin(dense, parse(setting), FEW)
    with stepped(pair) as lockstep, pytest.raises(BadInput, match=sentence):
        repair(pair, lockstep, SPAN, RepairGoal(**goal), level=level)  # type: ignore[arg-type]


def test_a_model_made_elsewhere_and_a_step_that_is_not_there_are_sentences(dense: Loaded, run: Lockstep) -> None:
    foreign = pair_with_foreign(dense, loaded("llama"))
    with stepped(foreign) as lockstep, pytest.raises(BadInput, match="was not pruned here"):
        repair(foreign, lockstep, SPAN, RepairGoal(kl=0.1))
    pair = pair_with_twin(dense, parse("magnitude:0.5"), FEW)
    with stepped(pair) as lockstep, pytest.raises(BadInput, match="Step 9 is not there"):
        repair(pair, lockstep, range(3, 10), RepairGoal(kl=0.1))


def test_a_model_that_is_pruned_otherwise_meanwhile_ends_the_search(dense: Loaded) -> None:
    pair = pair_with_twin(dense, parse("magnitude:0.5"), FEW)

    def progress(event: object) -> None:
        if getattr(event, "task", "") == repairing.TASK and getattr(event, "done", 0) == 5:
            pair.repruned(parse("magnitude:0.4"))

    with stepped(pair) as lockstep, pytest.raises(Failure, match="changed while"):
        repair(pair, lockstep, SPAN, RepairGoal(kl=0.01), work=Work(progress))


def test_a_run_with_nan_is_healed_first(dense: Loaded) -> None:
    pair = pair_with_twin(dense, parse("magnitude:0.3"), FEW)
    assert pair.twin is not None
    with stepped(pair) as lockstep:
        name = "model.layers.1.mlp.up_proj"
        pair.twin.replace(name, torch.full_like(pair.twin.dense_weight(name), torch.inf))
        found = repair(pair, lockstep, SPAN, RepairGoal(kl=0.1))
        assert found.span.kl_before == torch.inf
        assert found.span.kl_after <= 0.1
        assert ("mlp", 1) in {(one.sublayer, one.layer) for one in found.given_back}
