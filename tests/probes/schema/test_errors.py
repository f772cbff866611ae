"""Errors for people stay what they are on their way from one process to another."""

from __future__ import annotations

import pickle

import pytest

from probes.schema.errors import BadInput, Cancelled, Failure, PhierError
from probes.stepping.cached_model import CacheLost


@pytest.mark.parametrize(
    "problem",
    [BadInput("A", "b c.", "Do d."), Failure("A", "b c."), Cancelled("Reading the prompt"), CacheLost("It was lost.")],
)
def test_an_error_is_the_same_in_another_process(problem: PhierError) -> None:
    found = pickle.loads(pickle.dumps(problem))
    assert type(found) is type(problem)
    assert vars(found) == vars(problem)
    assert (str(found), found.args) == (str(problem), problem.args)
