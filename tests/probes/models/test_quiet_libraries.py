"""What transformers would draw as bars is told as work."""

from __future__ import annotations

import io
import logging as standard_logging
import sys
import warnings

import pytest
from transformers.utils import logging

from probes.models.quiet_libraries import marked_output, reporting, silence_libraries
from probes.schema.errors import Cancelled
from probes.schema.events import WorkProgressed
from probes.system.progress import Work


def told(count: int, stop: int = 99) -> list[WorkProgressed]:
    """What is told of a bar over so many things."""
    found: list[WorkProgressed] = []
    with reporting(Work(found.append, lambda: len(found) >= stop), "Loading"):
        assert list(logging.tqdm(range(count), desc="weights")) == list(range(count))
    return found


def test_a_bar_is_told_thing_by_thing() -> None:
    things = [WorkProgressed("Loading", done, 3, "tensors") for done in range(3)]
    assert told(3) == [*things, WorkProgressed("Loading")]


def test_a_bar_over_one_thing_says_only_that_it_goes_on() -> None:
    assert told(1) == [WorkProgressed("Loading")] * 2


def test_cancelled_work_ends_a_bar() -> None:
    with pytest.raises(Cancelled):
        told(3, stop=2)


def test_what_libraries_say_reaches_standard_error_with_marks(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), marked_output():
        warnings.simplefilter("always")
        print("one\x1b[2J")  # noqa: T201 - as a library does
        warnings.warn_explicit("three\u202e", UserWarning, "a.py", 1)
    print("four")  # noqa: T201
    caught = capsys.readouterr()
    assert caught.out == "four\n"
    assert "one␛[2J\n" in caught.err
    assert "UserWarning: three⟨202E⟩\n" in caught.err
    assert "\x1b" not in caught.err


def test_log_lines_of_transformers_are_marked() -> None:
    silence_libraries()
    handler = standard_logging.getLogger("transformers").handlers[0]
    record = standard_logging.LogRecord("transformers", 40, "", 1, "bad \x1b[2J%s", ("\x9b",), None)
    assert handler.format(record) == "[transformers] bad ␛[2J⟨009B⟩"


def test_streams_that_an_interface_has_put_back_meanwhile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    interface = io.StringIO()
    with marked_output():
        monkeypatch.setattr(sys, "stdout", interface)
    assert sys.stdout is interface
