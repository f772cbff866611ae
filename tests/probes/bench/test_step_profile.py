"""The parts of a step sum to it, and each moment belongs to the innermost part."""

from __future__ import annotations

import pytest

from probes.bench.step_profile import ATTENTION, COMPARISON, HEAD, MLP, PARTS, PartClock, profile_steps
from probes.schema.settings import Follow
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny


def test_the_time_of_an_inner_part_is_not_the_outer_one_s() -> None:
    moments = iter([0.0, 1.0, 3.0, 3.5, 7.5, 8.0])
    clock = PartClock(lambda: next(moments))
    with clock.part("step"):
        with clock.part("pass"):
            pass
        with clock.part("pass"):
            pass
    assert clock.seconds == {"step": 1.0 + 0.5 + 0.5, "pass": 2.0 + 4.0}


def test_an_inner_part_that_fails_is_closed() -> None:
    moments = iter([0.0, 1.0, 2.0, 5.0])
    clock = PartClock(lambda: next(moments))
    with clock.part("step"), pytest.raises(ValueError, match="no"), clock.part("pass"):
        raise ValueError("no")
    assert clock.seconds == {"step": 4.0, "pass": 1.0}


@pytest.mark.parametrize(("architecture", "follow"), [("llama", Follow.DENSE), ("gpt2", Follow.FREE)])
def test_the_parts_of_a_step_sum_to_it(architecture: str, follow: Follow) -> None:
    dense = tiny(architecture)
    found = profile_steps((dense, damaged(dense)), Words(), PROMPT, steps=3, follow=follow)
    assert [one.part for one in found.parts] == list(PARTS)
    assert sum(one.share for one in found.parts) == pytest.approx(1)
    assert found.seconds == pytest.approx(sum(one.seconds for one in found.parts))
    for one in found.parts:
        assert 0 <= one.copies <= one.operators <= one.seconds
        assert one.share > 0
        assert one.python == pytest.approx(one.seconds - one.operators)
    operators = {one.part: one.operators for one in found.parts}
    assert min(operators[part] for part in (ATTENTION, MLP, HEAD, COMPARISON)) > 0
    assert found.unwatched > 0
    assert "forward" not in vars(dense.get_output_embeddings()), "the clocks are gone"
