"""The two sentences about a step say no more than its figures do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from msgspec import structs
from rich.cells import cell_len

from explorer.sources.toy.step import Accidents
from explorer.state.columns import Columns
from explorer.words import numbers
from explorer.words import sentences as reading
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from tests.support.records import with_own
from tests.support.stage import scripted


def with_kl(record: StepRecord, shared: float, own: float | None = None) -> StepRecord:
    """The step with other KLs."""
    assert record.own is not None
    here = replace(record.own, p=replace(record.own.p, kl=own if own is not None else shared))
    there = record.shared and replace(record.shared, p=replace(record.shared.p, kl=shared))
    return replace(record, own=here, shared=there)


def alike() -> StepRecord:
    return scripted(Follow.DENSE).records(2)[1]


def diverged() -> StepRecord:
    return scripted().records(24)[-1]


@pytest.mark.parametrize(
    ("kl", "words"),
    [
        (0.005, "practically alike"),
        (0.05, "nearly alike"),
        (0.3, "a little differently"),
        (1.0, "clearly differently"),
        (4.0, "very differently"),
    ],
)
def test_the_words_follow_the_kl(kl: float, words: str) -> None:
    first = reading.step(with_kl(alike(), kl))
    assert words in first
    assert f"KL {numbers.significant(kl)} nat" in first


def test_an_infinite_and_an_undefined_kl_are_said_as_such() -> None:
    assert "infinite" in reading.step(with_kl(alike(), math.inf))
    assert "undefined" in reading.step(with_kl(alike(), math.nan))


@pytest.mark.parametrize(
    ("shared", "own", "says"),
    [
        (0.1, 5.0, "nearly all drift"),
        (1.0, 3.0, "mostly drift"),
        (2.0, 3.0, "is from pruning"),
        (2.0, 1.0, "no larger"),
        (math.inf, math.inf, "The texts diverged at step 17."),
    ],
)
def test_drift_is_blamed_only_for_what_shared_does_not_explain(shared: float, own: float, says: str) -> None:
    assert says in reading.context(with_kl(diverged(), shared, own), 17)


def test_a_diverged_step_speaks_of_the_same_text_first() -> None:
    assert reading.step(diverged()).startswith("On the same text")


def test_the_first_split_names_both_choices() -> None:
    record = next(record for record in scripted().records(40) if record.split)
    assert record.dense is not None
    assert record.pruned is not None
    second = reading.context(record)
    assert f'"{record.dense.token}" against "{record.pruned.token}"' in second
    assert "The texts diverge here." in second
    other = next(record for record in scripted(Follow.DENSE).records(40) if record.split)
    assert "diverge" not in reading.context(other)


def test_a_fork_to_the_other_models_choice_does_not_part_the_texts() -> None:
    record = next(record for record in scripted().records(40) if record.split)
    assert record.taken_pruned is not None
    forced = replace(record, taken=replace(record.taken_pruned, forced=True))
    assert "The texts diverge here" in reading.context(record)
    assert reading.context(forced).startswith("The first different choices")
    assert "diverge" not in reading.context(forced)


def later_diverged() -> list[StepRecord]:
    """A run whose first different choices were forced back to one token, so that its texts diverge some steps later."""
    path = scripted().records(40)
    diverges = next(record for record in path if record.diverges)
    choices = next(record for record in path[2:] if record.step < diverges.step)
    sums = [replace(record.sum, first_split=choices.step) for record in path]
    return [
        record if record.step < choices.step else replace(record, sum=s) for record, s in zip(path, sums, strict=True)
    ]


def test_drift_counts_from_where_the_tokens_differ_not_from_the_first_different_choices() -> None:
    path = later_diverged()
    columns = Columns(path)
    columns.catch_up()
    diverges = next(record for record in path if record.diverges)
    assert diverges.sum.first_split != diverges.step == columns.diverges_at
    assert diverges.taken is not None
    assert diverges.taken_pruned is not None
    tokens = f'"{diverges.taken.token}" against "{diverges.taken_pruned.token}"'
    assert reading.context(diverges, columns.diverges_at) == f"The texts diverge here: {tokens}."
    assert f"diverged at step {diverges.step}" in reading.context(path[-1], columns.diverges_at)


def test_where_the_texts_parted_is_not_guessed_where_the_line_is_lost() -> None:
    path = [record if not record.diverges else replace(record, taken_pruned=None) for record in later_diverged()]
    columns = Columns(path)
    columns.catch_up()
    assert columns.diverged is not None
    assert columns.diverges_at is None
    assert "diverged earlier" in reading.context(path[-1], columns.diverges_at)


def test_before_any_split_the_second_sentence_gives_the_chance_left() -> None:
    record = alike()
    assert record.sum.first_split is None
    left = numbers.chance(record.sum.survival)
    assert reading.context(record).startswith(f"Chance {left} that two samplers still agree")


def test_a_token_that_pruning_made_likelier_is_not_called_less_likely() -> None:
    record = with_kl(alike(), 1.0)
    worst = max(record.own.top, key=lambda row: row.kl_share)
    turned = tuple(structs.replace(row, p=row.q, q=row.p) if row is worst else row for row in record.own.top)
    assert "less likely" not in reading.step(with_own(record, top=turned))


def test_what_has_no_figures_says_why() -> None:
    invalid = scripted(accidents=Accidents(invalid=3)).records(3)[2]
    assert "NaN" in reading.step(invalid)
    assert "model.layers.7.mlp.down_proj" in reading.step(invalid)
    ended = scripted(accidents=Accidents(dense_ends=20)).records(30)[-1]
    assert "dense model has ended" in reading.step(ended)
    ended = scripted(accidents=Accidents(pruned_ends=20)).records(30)[-1]
    assert "pruned text has ended" in reading.context(ended)
    assert reading.sentences(None)[0].endswith("Nothing is generated yet.")


@pytest.mark.parametrize("follow", list(Follow))
def test_every_step_of_every_context_has_its_sentences(follow: Follow) -> None:
    for record in scripted(follow).records(60):
        first, second = reading.sentences(record)
        assert first.endswith(".")
        assert second.endswith(".")
        assert cell_len(reading.brief(record)) < 80
        assert cell_len(second) < 80, second


@pytest.mark.parametrize(("survival", "agree"), [(1.0, 1.0), (0.034, 0.5), (6e-5, 0.07), (2e-9, 0.003), (1e-290, 0.0)])
def test_the_chance_left_fits_into_a_line(survival: float, agree: float) -> None:
    record = alike()
    for split in (None, 1):
        found = replace(record.sum, survival=survival, agree_rate=agree, first_split=split)
        assert cell_len(reading.context(replace(record, sum=found))) < 80


@pytest.mark.parametrize("accidents", [Accidents(invalid=3), Accidents(dense_ends=20), Accidents(pruned_ends=20)])
def test_the_brief_sentence_is_no_longer_than_a_line(accidents: Accidents) -> None:
    records = scripted(accidents=accidents).records(30)
    infinite = with_kl(records[1], math.inf)
    assert "Infinite KL" in reading.brief(infinite)
    assert all(cell_len(reading.brief(record)) < 80 for record in [*records, infinite])


def with_shares(record: StepRecord, largest: float) -> StepRecord:
    """The step with a KL of 6.1 of which no token in the table holds more than that."""
    record = with_kl(record, 6.1)
    assert record.own is not None
    top = tuple(
        structs.replace(row, p=0.02, q=0.02 / 6.1, kl_share=largest / (place + 1))
        for place, row in enumerate(record.own.top)
    )
    return with_own(record, top=top, p=replace(record.own.p, entropy_dense=7.3, entropy_pruned=9.81))


def test_a_token_that_holds_little_of_the_kl_is_not_named() -> None:
    record = with_shares(alike(), 0.099)
    assert reading.step(record) == (
        "The two models predict very differently (KL 6.10 nat): the change is spread over many tokens, none holds a "
        "tenth of the KL (entropies: dense 7.3, pruned 9.8 nat)."
    )
    assert reading.brief(record) == "Very different, KL 6.10: the change is spread over many tokens."


def test_a_token_that_holds_a_tenth_of_the_kl_is_named_with_its_share() -> None:
    assert "6.1 times less likely, 10 % of the KL" in reading.step(with_shares(alike(), 0.1))


def test_on_the_shared_text_of_a_diverged_run_the_same_holds() -> None:
    record = diverged()
    assert record.shared is not None
    top = tuple(structs.replace(row, kl_share=0.004) for row in record.shared.top)
    figures = replace(record.shared.p, kl=4.0, entropy_dense=6.0, entropy_pruned=8.0)
    first = reading.step(replace(record, shared=replace(record.shared, top=top, p=figures)))
    assert "spread over many tokens" in first
    assert "entropies: dense 6.0, pruned 8.0 nat" in first
    assert "less likely" not in first


def test_of_a_text_that_is_scored_its_token_is_said_with_both_probabilities() -> None:
    record = scripted(Follow.TEXT).records(3)[-1]
    assert record.taken is not None
    record = replace(record, taken=replace(record.taken, token=" sold", p=0.25, q=0.0625))
    assert reading.sentences(record, scored=True)[1] == (
        'The text continues with " sold": dense p 0.250, pruned q 0.0625.'
    )
    assert "continues with" not in reading.sentences(record)[1]
    assert reading.scored_token(None) == ""
