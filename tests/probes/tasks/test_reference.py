"""A saved reference bounds the KL from both sides, and holds everything else exactly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from probes.models.loaded import Loaded
from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.score import ScoreSettings
from probes.tasks.position_sums import PositionSums
from probes.tasks.reference import open_reference
from probes.tasks.reference_bounds import bound_rows, keep_rows
from probes.tasks.reference_scoring import check_reference, score_against
from probes.tasks.scored_models import scored_pair
from probes.tasks.scoring import score_texts
from tests.support.scoring import CONTEXT, TEXT, TOKENIZER, foreign_pair, loaded
from tests.support.stepping import damaged
from tests.support.tiny import metaspace_tokenizer, tiny

WINDOWED = ScoreSettings(window=32, stride=24)


def rows(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    z = 3 * torch.randn(40, 300, generator=generator)
    if kind == "near":
        return z, z + 0.1 * torch.randn(z.shape, generator=generator)
    if kind == "far":
        return z, 4 * torch.randn(z.shape, generator=generator)
    if kind == "certain":
        z[:, 5] += 60
        return z, z + torch.randn(z.shape, generator=generator)
    if kind == "flat":
        return 0.01 * z, 0.01 * torch.randn(z.shape, generator=generator)
    if kind == "impossible":  # q underflows to 0 all over the tail
        other = z.clone()
        other[:, 7] += 2000
        return z, other
    return z, z.clone()


@pytest.mark.parametrize("kind", ["near", "far", "certain", "flat", "impossible", "same"])
@pytest.mark.parametrize("top", [1, 7, 60, 299, 300])
def test_the_kl_lies_between_its_bounds(kind: str, top: int) -> None:
    z, z2 = rows(kind)
    targets = torch.arange(40)
    h = torch.ones(40, 2)
    (exact,) = PositionSums(300).compare(h, z, [(h, z2)], targets)
    kept = keep_rows(z, targets, top)
    found = bound_rows(kept, z2, targets)
    slack = 1e-12 + 1e-12 * np.abs(exact.kl)
    assert (found.lower <= exact.kl + slack).all()
    assert (found.upper >= exact.kl - slack).all()
    assert np.isfinite(found.upper).all()
    np.testing.assert_allclose(kept.log_p, exact.log_p, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.log_q, exact.log_q, rtol=1e-12, atol=1e-12)
    assert (found.same_top == exact.same_top).all()
    if top == 300:
        np.testing.assert_allclose(found.upper, exact.kl, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.lower, exact.kl, rtol=1e-9, atol=1e-12)


def test_the_bounds_are_those_of_the_derivation_written_out() -> None:
    z, z2 = (one[0].double() for one in rows("far"))
    kept = keep_rows(z[None].float(), torch.tensor([0]), 7)
    found = bound_rows(kept, z2[None].float(), torch.tensor([0]))
    p, q = torch.softmax(z, 0), torch.softmax(z2, 0)
    order = z.argsort(descending=True)
    head, tail = order[:7], order[7:]
    t, entropy = p[tail].sum(), -(p[tail] * p[tail].log()).sum()
    h = entropy / t + t.log()
    exact_head = (p[head] * (p[head] / q[head]).log()).sum()
    lumped = t * (t / q[tail].sum()).log()
    half = 2 * t * (h - q[tail].sqrt().sum().log()) - entropy
    above = [-q[tail].log().min(), (1 / q[tail]).sum().log() - h, 2 * ((1 / q[tail].sqrt()).sum().log() - h)]
    assert found.lower[0] == pytest.approx(float(exact_head + max(lumped, half)), rel=1e-6)
    assert found.upper[0] == pytest.approx(float(exact_head - entropy + t * min(above)), rel=1e-6)
    assert float(t) == pytest.approx(float(kept.tail[0]), rel=1e-6)


def test_more_kept_logits_never_loosen_the_bounds_of_the_mean() -> None:
    z, z2 = rows("near")
    targets = torch.arange(40)
    widths = []
    for top in (1, 10, 50, 150, 300):
        found = bound_rows(keep_rows(z, targets, top), z2, targets)
        widths.append(float((found.upper - found.lower).mean()))
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.1
    assert widths[-1] < 1e-9


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


def test_scoring_against_a_reference_is_scoring_with_the_dense_model(text: Path, tmp_path: Path) -> None:
    pair, path = foreign_pair(), tmp_path / "reference"
    alone = replace(scored_pair(pair), seconds=())
    assert score_texts(alone, [text], WINDOWED, reference=path, top=40).rows == ()
    (exact,) = score_texts(pair, [text], WINDOWED).rows
    (found,) = score_against(open_reference(path), pair.pruned).rows
    assert found.kl.mean < exact.kl.mean < found.kl_upper.mean
    for name in ("positions", "windows", "ppl_dense", "ppl_pruned", "dp_rms", "same_top"):
        assert getattr(found, name) == pytest.approx(getattr(exact, name), rel=1e-9), name
    assert found.ppl_ratio.mean == pytest.approx(exact.ppl_ratio.mean)
    assert found.ppl_ratio.se == pytest.approx(exact.ppl_ratio.se)
    assert found.dp_spread.quantiles == pytest.approx(exact.dp_spread.quantiles)
    assert [group.positions for group in found.by_kind] == [group.positions for group in exact.by_kind]
    assert [group.positions for group in found.by_certainty] == [group.positions for group in exact.by_certainty]
    assert (found.spaces, found.kl_reverse) == (None, None)


def test_a_reference_that_keeps_everything_gives_the_kl_itself(text: Path, tmp_path: Path) -> None:
    pair, path = foreign_pair(), tmp_path / "reference"
    (exact,) = score_texts(pair, [text], WINDOWED, reference=path, top=10**6).rows
    (found,) = score_against(open_reference(path), pair.pruned).rows
    assert found.kl.mean == pytest.approx(exact.kl.mean, rel=1e-9)
    assert found.kl_upper.mean == pytest.approx(exact.kl.mean, rel=1e-9)
    assert found.kl.se == pytest.approx(exact.kl.se, rel=1e-6)
    assert found.kl_spread.quantiles == pytest.approx(exact.kl_spread.quantiles, rel=1e-6)


def test_a_float32_reference_holds_the_logits_to_the_bit(text: Path, tmp_path: Path) -> None:
    model = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=CONTEXT)
    dense = Loaded(model, TOKENIZER, loaded().info)
    path = tmp_path / "reference"
    pair = Pair(dense, Loaded(damaged(model), TOKENIZER, dense.info), None)
    score_texts(pair, [text], ScoreSettings(window=20), reference=path, top=9)
    found = open_reference(path)
    header = found.header
    assert header.record.itemsize == 4 * 8 + 9 * (2 + 4)
    assert (
        path.stat().st_size < 2000 + 9 * header.windows + 4 * header.tokens + header.positions * header.record.itemsize
    )
    window, kept = next(found.windows())
    with torch.inference_mode():
        z = model(input_ids=torch.tensor([window.ids]), use_cache=False).logits[0, window.first - 1 : -1]
    np.testing.assert_allclose(kept.logits, z.topk(9).values.double(), rtol=1e-5, atol=1e-5)
    assert (kept.logits == kept.logits.float().double()).all()
    assert kept.log_p.tolist() == pytest.approx(
        [float(row.double().log_softmax(0)[token]) for row, token in zip(z, window.ids[window.first :], strict=True)],
        rel=1e-4,
    )


def test_positions_at_which_a_model_is_not_finite_are_counted_against_a_reference_too(
    text: Path, tmp_path: Path
) -> None:
    pair, path = foreign_pair(), tmp_path / "reference"
    token = TOKENIZER(TEXT)["input_ids"][3]
    with torch.no_grad():
        head = pair.dense.model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.clone())  # or it is finite nowhere
        pair.dense.model.get_input_embeddings().weight[token] = math.nan
    settings = ScoreSettings(window=8)
    (exact,) = score_texts(pair, [text], settings, reference=path, top=50).rows
    (found,) = score_against(open_reference(path), pair.pruned).rows
    assert found.nonfinite_dense == exact.nonfinite_dense > 0
    assert found.positions == exact.positions > 0
    assert found.kl.mean <= exact.kl.mean <= found.kl_upper.mean


def test_what_does_not_fit_a_reference_gets_a_sentence(text: Path, tmp_path: Path) -> None:
    pair, path = foreign_pair(), tmp_path / "reference"
    score_texts(pair, [text], WINDOWED, reference=path, top=5)
    found = open_reference(path)
    other = tmp_path / "other.txt"
    other.write_text("another text")
    check_reference(found, [text])
    with pytest.raises(BadInput, match=r"is of other texts: of text.txt"):
        check_reference(found, [other])
    with pytest.raises(BadInput, match="another tokenizer"):
        score_against(found, replace(pair.pruned, tokenizer=metaspace_tokenizer()))
    small = tiny("llama", vocab_size=len(TOKENIZER) - 3)
    info = replace(pair.pruned.info, vocabulary=len(TOKENIZER) - 3)
    with pytest.raises(BadInput, match="and the reference is over"):
        score_against(found, Loaded(small, TOKENIZER, info))
    short = tiny("llama", vocab_size=len(TOKENIZER), max_position_embeddings=16)
    with pytest.raises(BadInput, match="beyond the models' context of 16"):
        score_against(found, Loaded(short, TOKENIZER, pair.pruned.info))


def test_a_file_that_is_no_whole_reference_gets_a_sentence(text: Path, tmp_path: Path) -> None:
    path = tmp_path / "reference"
    score_texts(foreign_pair(), [text], WINDOWED, reference=path, top=5)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 1
    for content, message in (
        (b"", "is no reference"),
        (TEXT.encode() * 3, "is no reference"),
        (whole[:-40], "is damaged"),
        (bytes(flipped), "is damaged"),
        (whole.replace(b'"top":5', b'"top":4'), "is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=message):
            open_reference(path)
    with pytest.raises(BadInput, match="There is no file"):
        open_reference(tmp_path / "none")
