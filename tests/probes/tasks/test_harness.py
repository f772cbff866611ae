"""Tasks of lm-evaluation-harness over local files, on both models of a pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from probes.pair import Pair, pair_with_twin
from probes.schema.errors import BadInput, Cancelled
from probes.schema.items import ItemSet, Question, TaskKind, Way, Wording
from probes.schema.prune_setting import parse
from probes.schema.task_results import ItemResult
from probes.system.progress import Work
from probes.tasks.harness import HarnessTasks, harness_tasks
from probes.tasks.scored_items import score_items
from tests.support.prune_models import loaded

QUESTIONS = [
    {"question": "The sky is", "choices": ["blue", "a cow", "under", "seven"], "answer": 0},
    {"question": "Two and two are", "choices": ["red", "four", "tall", "never"], "answer": 1},
    {"question": "A dog can", "choices": ["fly to the moon", "read", "bark", "melt"], "answer": 2},
]
PROMPTS = [{"question": "One and one are", "target": "two"}, {"question": "Snow is", "target": "white"}]


def options_task(folder: Path, name: str = "small_facts", **more: object) -> str:
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in QUESTIONS))
    config = {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "answer"}
    return written(folder, name, data, **{**config, **more})


def answers_task(folder: Path, name: str = "small_answers", **more: object) -> str:
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in PROMPTS))
    kwargs = {"until": ["\n"], "max_gen_toks": 6, "do_sample": False}
    return written(
        folder,
        name,
        data,
        output_type="generate_until",
        doc_to_target="target",
        generation_kwargs=kwargs,
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        **more,
    )


def written(folder: Path, name: str, data: Path, **config: object) -> str:
    """A task file; YAML takes JSON."""
    plain = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": str(data)},
        "test_split": "train",
        "doc_to_text": "{{question}}",
        **config,
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(plain))
    return str(path)


@pytest.fixture(autouse=True)
def own_data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "data")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("magnitude:0.6"))


def all_of(tasks: HarnessTasks, pair: Pair) -> list[ItemResult]:
    return list(tasks.score(pair))


def test_items_are_paired_and_scored_on_both_models(pair: Pair, tmp_path: Path) -> None:
    tasks = harness_tasks([options_task(tmp_path), answers_task(tmp_path)])
    facts, answers = tasks.sets
    assert (facts.name, facts.kind, len(facts), facts.chance) == ("small_facts", TaskKind.OPTIONS, 3, 0.25)
    assert (answers.name, answers.kind, len(answers)) == ("small_answers", TaskKind.GENERATION, 2)
    assert [one.answer for one in facts.questions] == [0, 1, 2]
    found = all_of(tasks, pair)
    assert [(one.task, one.item) for one in found] == [
        *(("small_facts", str(i)) for i in range(3)),
        *(("small_answers", str(i)) for i in range(2)),
    ]
    for one, question in zip(found, QUESTIONS, strict=False):
        assert one.options is not None
        for side, shares in ((one.dense, one.options.p), (one.pruned, one.options.q)):
            plain = _plain(pair, side is one.dense, question)
            assert shares == pytest.approx(plain.softmax(0).tolist(), rel=1e-4)
            assert side.choice == question["choices"][int(plain.argmax())]
            assert side.right is (int(plain.argmax()) == question["answer"])
            top = sorted(plain.tolist(), reverse=True)
            assert side.margin == pytest.approx(top[0] - top[1], abs=1e-3)
        p, q = torch.tensor(one.options.p).double(), torch.tensor(one.options.q).double()
        assert one.options.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-5)
    assert any(one.options.kl > 1e-4 for one in found[:3])  # the pruned model is another one
    assert all("\n" not in one.dense.text for one in found[3:])


def _plain(pair: Pair, dense: bool, question: dict) -> torch.Tensor:
    """ln p of each option, from one whole pass in float64 softmax."""
    one = pair.dense if dense else pair.pruned
    totals = []
    for option in question["choices"]:
        context = one.tokenizer(question["question"])["input_ids"]
        whole = one.tokenizer(f"{question['question']} {option}")["input_ids"]
        with torch.inference_mode():
            logits = one.model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        places = range(len(context) - 1, len(whole) - 1)
        totals.append(sum(float(logits[place, whole[place + 1]]) for place in places))
    return torch.tensor(totals)


def test_a_copy_of_the_dense_model_differs_in_nothing(tmp_path: Path) -> None:
    dense = loaded("llama")
    copy = Pair(dense, loaded("llama"), None)
    for one in all_of(harness_tasks([options_task(tmp_path), answers_task(tmp_path)]), copy):
        assert one.dense == one.pruned
        if one.options is not None:
            assert (one.options.kl, one.options.p) == (0, one.options.q)


def test_results_that_are_there_are_not_measured_again(pair: Pair, tmp_path: Path) -> None:
    tasks = harness_tasks([options_task(tmp_path)])
    whole = all_of(tasks, pair)
    rest = list(tasks.score(pair, done={("small_facts", "0"), ("small_facts", "2")}))
    assert rest == [whole[1]]
    assert list(tasks.score(pair, done={(one.task, one.item) for one in whole})) == []


def test_examples_before_a_question_are_the_same_in_a_run_that_goes_on(pair: Pair, tmp_path: Path) -> None:
    def tasks() -> HarnessTasks:
        return harness_tasks([options_task(tmp_path, fewshot_split="train")], examples=1)

    whole = all_of(tasks(), pair)
    assert whole == all_of(tasks(), pair)
    assert list(tasks().score(pair, done={("small_facts", "0")})) == whole[1:]
    assert tasks().sets[0].digest != harness_tasks([options_task(tmp_path)]).sets[0].digest


def test_each_filter_of_answers_is_a_task_of_its_own(pair: Pair, tmp_path: Path) -> None:
    filters = [
        {"name": "whole", "filter": [{"function": "take_first"}]},
        {
            "name": "word",
            "filter": [{"function": "regex", "regex_pattern": "(\\w+)"}, {"function": "take_first"}],
        },
    ]
    tasks = harness_tasks([answers_task(tmp_path, filter_list=filters)])
    assert [one.name for one in tasks.sets] == ["small_answers [whole]", "small_answers [word]"]
    assert {one.task for one in all_of(tasks, pair)} == {"small_answers [whole]", "small_answers [word]"}


def test_only_as_many_items_as_asked_for_are_read(pair: Pair, tmp_path: Path) -> None:
    tasks = harness_tasks([options_task(tmp_path)], most=2)
    assert len(tasks.sets[0]) == len(all_of(tasks, pair)) == 2


def test_the_models_and_their_tokenizer_are_left_as_they_were(tmp_path: Path) -> None:
    pair = pair_with_twin(loaded("gpt2"), parse("drop-mlp:1"))
    pair.dense.tokenizer.pad_token = None
    before = {name: value.clone() for name, value in pair.pruned.model.state_dict().items()}
    size = len(pair.dense.tokenizer)
    all_of(harness_tasks([options_task(tmp_path), answers_task(tmp_path)]), pair)
    after = pair.pruned.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert (pair.dense.tokenizer.pad_token, len(pair.dense.tokenizer)) == (None, size)


def test_nothing_is_written_to_the_terminal(pair: Pair, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    all_of(harness_tasks([options_task(tmp_path), answers_task(tmp_path)]), pair)
    assert capfd.readouterr() == ("", "")


def test_a_run_can_be_stopped(pair: Pair, tmp_path: Path) -> None:
    tasks = harness_tasks([options_task(tmp_path)])
    passes: list[object] = []
    work = Work(passes.append, lambda: len(passes) > 2)
    with pytest.raises(Cancelled):
        list(tasks.score(pair, work))
    assert len(passes) == 3


def test_what_cant_be_run_is_refused_in_a_sentence(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.yaml"):
        harness_tasks([str(tmp_path / "missing.yaml")])
    with pytest.raises(BadInput, match=r"perplexity of texts.*phier score"):
        harness_tasks([options_task(tmp_path, "text_task", output_type="loglikelihood_rolling")])
    together = options_task(tmp_path, "together", metric_list=[{"metric": "brier_score"}])
    with pytest.raises(BadInput, match=r"together only has figures of all items together \(brier_score\)"):
        all_of(harness_tasks([together]), pair)


def test_a_task_is_found_by_its_name(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    options_task(tmp_path)
    few = TaskManager(include_path=str(tmp_path), include_defaults=False)  # those that come with it are ten thousand
    monkeypatch.setattr("lm_eval.tasks.TaskManager", lambda include_defaults: few)
    assert len(harness_tasks(["small_facts"]).sets[0]) == 3
    with pytest.raises(BadInput, match=r"has no task 'small_fax'\. Did you mean small_facts"):
        harness_tasks(["small_fax"])
    with pytest.raises(BadInput, match=r"There is no task file none\.yaml"):
        harness_tasks(["none.yaml"])


def test_without_the_package_a_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BadInput, match=r"pip install 'phier\[harness\]'"):
        harness_tasks(["arc_easy"])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2"])
def test_our_items_get_the_same_scores_from_the_harness(architecture: str, tmp_path: Path) -> None:
    """Item by item, in both models: the choice, right or wrong, the shares, and the choice by bytes."""
    pair = pair_with_twin(loaded(architecture), parse("magnitude:0.5"))
    words = ["the", "sun", "red", "four", "dog", "seven", "and", "never", "blue", "tall", "bark", "snow"]
    questions = tuple(
        Question(str(i), f"{words[i]} is {words[-i]}", (words[i], f"{words[i - 1]} {words[1]}", words[-i - 1]), i % 3)
        for i in range(1, 11)
    )
    ours = ItemSet(
        "ours", TaskKind.OPTIONS, questions, way=Way.CONTINUATION, wording=Wording(form="Question: {text}\nAnswer:")
    )
    data = tmp_path / "ours.jsonl"
    rows = [{"question": one.question, "choices": one.options, "answer": one.answer} for one in questions]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = written(
        tmp_path,
        "theirs",
        data,
        output_type="multiple_choice",
        doc_to_text="Question: {{question}}\nAnswer:",
        doc_to_choice="choices",
        doc_to_target="answer",
        metric_list=[{"metric": "acc"}, {"metric": "acc_bytes"}],
    )
    found = [one for one in score_items(pair, [ours]) if isinstance(one, ItemResult)]
    theirs = all_of(harness_tasks([task]), pair)
    assert len(found) == len(theirs) == 10
    for mine, other in zip(sorted(found, key=lambda one: int(one.item)), theirs, strict=True):
        assert (mine.dense.choice, mine.dense.right, mine.dense.score) == (
            other.dense.choice,
            other.dense.right,
            other.dense.score,
        )
        assert (mine.pruned.choice, mine.pruned.right, mine.pruned.score) == (
            other.pruned.choice,
            other.pruned.right,
            other.pruned.score,
        )
        assert mine.options is not None
        assert other.options is not None
        assert mine.options.p == pytest.approx(other.options.p, rel=1e-4)
        assert mine.options.q == pytest.approx(other.options.q, rel=1e-4)
        assert mine.options.kl == pytest.approx(other.options.kl, rel=1e-3, abs=1e-7)
        assert mine.options.per_byte_dense == other.options.per_byte_dense
        assert mine.options.per_byte_pruned == other.options.per_byte_pruned
    assert len({one.dense.choice for one in theirs}) > 3  # they do not all choose one word


def test_a_model_that_computes_nan_is_wrong_and_says_so(tmp_path: Path) -> None:
    broken = loaded("llama")
    broken.model.model.layers[1].mlp.down_proj.weight.data[:] = float("nan")
    for one in all_of(harness_tasks([options_task(tmp_path)]), Pair(loaded("llama"), broken, None)):
        assert one.dense.choice in QUESTIONS[int(one.item)]["choices"]
        assert (one.pruned.choice, one.pruned.right, one.pruned.score, one.options) == ("", False, 0.0, None)
        assert one.notes == ("The pruned model computes NaN or infinity.",)
