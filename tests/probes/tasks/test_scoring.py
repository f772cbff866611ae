"""Scores of texts against a plain reading of every window, and what does not depend on how they are read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from probes.models.comparable import Common
from probes.models.loaded import Loaded
from probes.pair import Pair, pair_with_twin
from probes.schema.errors import BadInput, Cancelled
from probes.schema.prune_setting import parse
from probes.schema.score import QUANTILES, Scored, ScoreSettings
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import summarise
from probes.system.progress import Work
from probes.tasks import scored_windows
from probes.tasks.scored_models import ScoredModels, scored_pair, second_of
from probes.tasks.scoring import score_texts
from tests.support.scoring import CONTEXT, TEXT, TOKENIZER, foreign_pair, loaded, log_softmaxes, twin_pair
from tests.support.tiny import tiny

IDS = TOKENIZER(TEXT, add_special_tokens=False)["input_ids"]
WINDOWED = ScoreSettings(window=32, stride=24)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


def plain_windows(length: int, stride: int) -> list[tuple[list[int], int]]:
    """Windows of the begin token and text, and where their new tokens begin."""
    found, done = [], 0
    for start in range(0, len(IDS), stride):
        ids = IDS[start : start + length - 1]
        if start + len(ids) > done:
            found.append(([0, *ids], 1 + done - start))
            done = start + len(ids)
    return found


def test_the_figures_are_those_of_plain_passes_over_each_window(text: Path) -> None:
    pair = foreign_pair()
    (row,) = score_texts(pair, [text], WINDOWED).rows
    kl, reverse, ratio, dp, same, by_window = [], [], [], [], [], []
    windows = plain_windows(32, 24)
    for ids, first in windows:
        p, q = log_softmaxes(pair, ids)
        own = []
        for at in range(first, len(ids)):
            lp, lq = p[at - 1], q[at - 1]
            own.append(float((lp.exp() * (lp - lq)).sum()))
            reverse.append(float((lq.exp() * (lq - lp)).sum()))
            ratio.append(float(lp[ids[at]] - lq[ids[at]]))
            dp.append(float(lq[ids[at]].exp() - lp[ids[at]].exp()))
            same.append(float(lp.argmax() == lq.argmax()))
        kl += own
        by_window.append(own)
    assert row.positions == len(IDS) == len(kl)
    assert row.windows == len(windows) == len(by_window)
    assert row.kl.mean == pytest.approx(np.mean(kl))
    assert row.kl.se_naive == pytest.approx(np.std(kl, ddof=1) / math.sqrt(len(kl)))
    count = len(by_window)
    spread = sum((sum(own) - np.mean(kl) * len(own)) ** 2 for own in by_window)
    assert row.kl.se == pytest.approx(math.sqrt(count / (count - 1) * spread) / len(kl))
    assert row.kl_reverse.mean == pytest.approx(np.mean(reverse))
    assert row.ppl_ratio.mean == pytest.approx(math.exp(np.mean(ratio)))
    assert row.ppl_ratio.mean == pytest.approx(row.ppl_pruned / row.ppl_dense)
    assert row.ppl_ratio.se_naive == pytest.approx(
        math.exp(np.mean(ratio)) * np.std(ratio, ddof=1) / math.sqrt(len(kl))
    )
    assert row.dp.mean == pytest.approx(np.mean(dp))
    assert row.dp_rms == pytest.approx(math.sqrt(np.mean(np.square(dp))))
    assert row.same_top == pytest.approx(np.mean(same))
    assert row.kl_spread.quantiles == pytest.approx(np.quantile(kl, QUANTILES))
    assert (row.kl_spread.min, row.kl_spread.max) == pytest.approx((min(kl), max(kl)))
    assert row.dp_spread.quantiles == pytest.approx(np.quantile(dp, QUANTILES))
    for groups in (row.by_certainty, row.by_place, row.by_kind):
        assert sum(group.positions for group in groups) == len(kl)
        assert sum(group.positions * group.kl for group in groups) == pytest.approx(sum(kl))
        assert sum(group.positions * group.same_top for group in groups) == pytest.approx(sum(same))
    assert [group.name for group in row.by_place] == ["1", "2 to 3", "4 to 7", "8 to 15", "16 to 31"]
    kinds = {group.name: group.positions for group in row.by_kind}
    assert kinds["number"] == 12
    assert kinds["punctuation"] == 6 * 3
    assert kinds["special"] == 0 if "special" in kinds else True


def test_one_window_is_what_stepping_through_the_text_gives(tmp_path: Path) -> None:
    pair = foreign_pair()
    path = tmp_path / "short.txt"
    path.write_text(TEXT[:50])
    (row,) = score_texts(pair, [path]).rows
    settings = RunSettings("", follow=Follow.TEXT, text=TEXT[:50])
    with pair.lockstep(settings) as lockstep:
        found = summarise(list(lockstep))
    assert row.windows == 1
    assert row.kl.se is None
    assert row.positions == found.scored
    assert row.kl.mean == pytest.approx(found.kl.mean, rel=1e-6)
    assert row.kl_spread.max == pytest.approx(found.kl.max, rel=1e-6)
    assert row.ppl_dense == pytest.approx(found.perplexity_dense, rel=1e-6)
    assert row.ppl_pruned == pytest.approx(found.perplexity_pruned, rel=1e-6)
    assert row.ppl_ratio.mean == pytest.approx(found.perplexity_ratio, rel=1e-6)
    assert row.dp_rms == pytest.approx(found.rms_p_minus_q, rel=1e-6)
    assert row.same_top == pytest.approx(found.agree_rate)


def test_halves_are_scored_as_llama_cpp_does(text: Path) -> None:
    """Its loop, read plainly: chunks of n tokens one after another, of which tokens n/2 + 1 to n - 1 are predicted."""
    pair, n = foreign_pair(), 20
    (row,) = score_texts(pair, [text], ScoreSettings(window=n, scored=Scored.HALF)).rows
    nll, kl, count = np.zeros(2), 0.0, 0
    for chunk in range(len(IDS) // n):
        tokens = IDS[chunk * n : (chunk + 1) * n]
        p, q = log_softmaxes(pair, tokens)
        for j in range(n // 2, n - 1):
            nll -= [float(p[j, tokens[j + 1]]), float(q[j, tokens[j + 1]])]
            kl += float((p[j].exp() * (p[j] - q[j])).sum())
            count += 1
    assert row.positions == count == len(IDS) // n * (n - n // 2 - 1)
    assert [row.ppl_dense, row.ppl_pruned] == pytest.approx(list(np.exp(nll / count)))
    assert row.kl.mean == pytest.approx(kl / count)


def test_an_exact_copy_scores_exactly_nothing(text: Path) -> None:
    dense = loaded()
    (row,) = score_texts(Pair(dense, loaded(), None), [text], WINDOWED).rows
    assert row.kl == row.kl_reverse == replace(row.dp, mean=0.0)
    assert (row.kl.mean, row.kl.se, row.kl.se_naive) == (0, 0, 0)
    assert (row.ppl_ratio.mean, row.ppl_ratio.se) == (1, 0)
    assert row.ppl_dense == row.ppl_pruned
    assert row.same_top == 1
    assert set(row.kl_spread.quantiles) == set(row.dp_spread.quantiles) == {0.0}
    assert set(vars_of(row.spaces)) == {0.0}
    assert all(group.kl == 0 and group.same_top == 1 for group in (*row.by_certainty, *row.by_place, *row.by_kind))


def vars_of(spaces) -> list[float]:
    return [getattr(spaces, name) for name in ("h", "z", "p", "h_estimate", "p_estimate", "kl_estimate")]


def several() -> tuple[ScoredModels, Pair]:
    pair = twin_pair("magnitude:0.3")
    first = second_of(pair)
    pair = pair.repruned(parse("magnitude:0.6+drop-mlp@layers=1"))
    second = second_of(pair)
    other = foreign_pair()
    third = second_of(Pair(pair.dense, other.pruned, None))
    return replace(scored_pair(pair), seconds=(first, second, third)), pair


def test_several_second_models_score_as_each_does_alone_and_the_dense_one_reads_once(text: Path) -> None:
    models, pair = several()
    read: list[int] = []
    assert models.reader.model is pair.dense.model  # made before the passes are counted
    handle = pair.dense.model.model.register_forward_hook(lambda *_: read.append(1))
    try:
        together = score_texts(models, [text], WINDOWED).rows
    finally:
        handle.remove()
    assert len(read) == 1, "one pass holds all windows"
    assert [row.name for row in together] == ["magnitude:0.3", "magnitude:0.6+drop-mlp@layers=1", "other"]
    alone = [
        score_texts(pair_with_twin(loaded(), parse("magnitude:0.3")), [text], WINDOWED).rows[0],
        score_texts(twin_pair("magnitude:0.6+drop-mlp@layers=1"), [text], WINDOWED).rows[0],
        score_texts(Pair(loaded(), foreign_pair().pruned, None), [text], WINDOWED).rows[0],
    ]
    assert list(together) == alone


def test_the_twin_is_as_it_was_afterwards(text: Path) -> None:
    models, pair = several()
    state = pair.twin.state
    names = list(state.changes)
    before = [pair.twin.weight(name).clone() for name in names]
    score_texts(models, [text], WINDOWED)
    assert pair.twin.state.hash == state.hash
    assert all(torch.equal(old, pair.twin.weight(name)) for old, name in zip(before, names, strict=True))


def test_an_interrupted_run_goes_on_and_gives_the_same_to_the_bit(text: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(scored_windows._PASS, "cpu", 40)
    whole = score_texts(foreign_pair(), [text], WINDOWED)
    results = tmp_path / "results.json"
    told: list[float] = []

    def stopping() -> bool:
        return len(told) > 12

    work = Work(lambda event: told.append(event.done or 0) if event.task == "Scoring" else None, stopping)
    with pytest.raises(Cancelled):
        score_texts(foreign_pair(), [text], WINDOWED, work, results=results)
    kept = tmp_path / "results.json.part"
    assert kept.exists()
    again: list[float] = []
    work = Work(lambda event: again.append(event.done or 0) if event.task == "Scoring" else None)
    assert score_texts(foreign_pair(), [text], WINDOWED, work, results=results) == whole
    assert again[0] >= told[-1] - 80 > 0
    assert again[-1] == whole.tokens
    assert not kept.exists()


def test_what_is_kept_of_another_run_is_not_gone_on_from(text: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    kept = tmp_path / "results.json.part"
    kept.write_bytes(b"PK nothing")
    assert score_texts(foreign_pair(), [text], WINDOWED, results=results) == score_texts(
        foreign_pair(), [text], WINDOWED
    )


def test_positions_that_are_not_finite_are_counted_and_left_out(text: Path) -> None:
    pair = foreign_pair()
    model, token = pair.pruned.model, IDS[3]
    with torch.no_grad():
        model.get_output_embeddings().weight = torch.nn.Parameter(model.get_output_embeddings().weight.clone())
        model.get_input_embeddings().weight[token] = math.nan
    (row,) = score_texts(pair, [text], ScoreSettings(window=8)).rows
    assert row.nonfinite_dense == 0
    assert row.nonfinite_pruned > 0 < row.positions
    assert row.positions + row.nonfinite_pruned == len(IDS)
    assert math.isfinite(row.kl.mean)
    assert math.isfinite(row.ppl_pruned)


def test_a_model_that_is_finite_nowhere_has_no_figures_rather_than_zeros(text: Path) -> None:
    pair = foreign_pair()
    with torch.no_grad():
        pair.pruned.model.get_input_embeddings().weight[:] = math.nan
    (row,) = score_texts(pair, [text], ScoreSettings(window=8)).rows
    assert (row.positions, row.nonfinite_pruned) == (0, len(IDS))
    assert row.spaces is not None
    figures = [row.kl.mean, row.ppl_dense, row.ppl_pruned, row.ppl_ratio.mean, row.dp_rms, row.same_top, row.spaces.h]
    assert all(map(math.isnan, [*figures, *row.kl_spread.quantiles, row.dp_spread.max]))


def test_each_line_of_a_file_of_lines_is_a_text_of_its_own(tmp_path: Path) -> None:
    pair = foreign_pair()
    lines = tmp_path / "texts.jsonl"
    lines.write_text("\n".join(json.dumps({"text": text}) for text in ("the ring", "the singer sings", "12")) + "\n")
    (row,) = score_texts(pair, [lines]).rows
    assert row.windows == 3
    parts = []
    for number, text in enumerate(("the ring", "the singer sings", "12")):
        alone = tmp_path / f"{number}.txt"
        alone.write_text(text)
        parts.append(score_texts(pair, [alone]).rows[0])
    assert row.positions == sum(part.positions for part in parts)
    total = sum(part.positions * part.kl.mean for part in parts)
    assert row.kl.mean == pytest.approx(total / row.positions)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": CONTEXT + 1}, f"beyond the models' context of {CONTEXT}"),
        ({"window": 32, "stride": 33}, "leaves out tokens"),
        ({"window": 1}, "scores nothing"),
        ({"stride": -1}, "not a number of tokens"),
        ({"window": 8, "stride": 4, "scored": Scored.HALF}, "follow one another"),
    ],
)
def test_windows_that_can_not_be_read_are_refused(text: Path, settings: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        score_texts(foreign_pair(), [text], ScoreSettings(**settings))


def test_a_text_shorter_than_one_window_is_one_shorter_window_and_has_no_half(tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    path.write_text("a ring")
    (row,) = score_texts(foreign_pair(), [path], ScoreSettings(window=60)).rows
    assert (row.windows, row.positions) == (1, len(TOKENIZER("a ring")["input_ids"]))
    with pytest.raises(BadInput, match=r"short.txt has not one whole window of 60 tokens"):
        score_texts(foreign_pair(), [path], ScoreSettings(window=60, scored=Scored.HALF))


def test_a_window_in_which_rotary_factors_change_is_refused(text: Path) -> None:
    dense = loaded()
    factors = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=CONTEXT, rope_parameters=factors)
    pair = Pair(dense, Loaded(model, TOKENIZER, dense.info), None)
    with pytest.raises(BadInput, match=f"beyond the models' context of {CONTEXT}"):
        score_texts(pair, [text], ScoreSettings(window=CONTEXT + 1))
    both = Pair(Loaded(model, TOKENIZER, dense.info), Loaded(model, TOKENIZER, dense.info), None)
    with pytest.raises(BadInput, match=f"Beyond {CONTEXT} tokens a model's rotary factors change"):
        score_texts(both, [text], ScoreSettings(window=CONTEXT + 1))


def test_a_token_that_is_another_one_in_a_second_model_is_refused(text: Path) -> None:
    pair = foreign_pair()
    with pytest.raises(BadInput, match="which not all models have"):
        score_texts(replace(pair, common=Common(len(TOKENIZER), frozenset({IDS[5]}))), [text])
    with pytest.raises(BadInput, match="which not all models have"):
        score_texts(replace(pair, common=Common(max(IDS))), [text])
