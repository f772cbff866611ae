"""Slow work on the command line: a sign of life from the beginning, seldom a line without a terminal, no wild guess."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from explorer.cli import progress_bar as progress
from explorer.cli.progress_bar import Bar, time_left
from probes.schema.events import WorkProgressed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def bar(terminal: bool = False) -> tuple[Bar, io.StringIO, Clock]:
    out, clock = io.StringIO(), Clock()
    return Bar(Console(file=out, force_terminal=terminal, width=100), clock), out, clock


def test_without_a_terminal_a_line_says_what_is_done_and_for_how_long():
    shown, out, clock = bar()
    shown.show(WorkProgressed("Pruning [model]", 3, 30, "blocks"))
    clock.now = 42.0
    shown.tell()
    shown.show(WorkProgressed("Measuring", 1, 4))
    shown.tell()
    shown.show(WorkProgressed("Loading"))
    clock.now = 50.0
    shown.tell()
    assert out.getvalue().splitlines() == [
        "Pruning [model]: 3 of 30 blocks, 42 s, 6:18 left",
        "Measuring: 25 %, 0 s",
        "Loading: 8 s",
    ]


def test_the_lines_come_of_themselves_while_nothing_is_told(monkeypatch):
    monkeypatch.setattr(progress, "FIRST", 0.001)
    come = threading.Event()

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            come.set()
            return super().write(text)

    out = Out()
    with Bar(Console(file=out, force_terminal=False)):
        assert come.wait(60)
    assert out.getvalue().startswith("Starting …: 0 s\n")


def test_quick_work_leaves_no_line_where_there_is_no_terminal():
    shown, out, _ = bar()
    with shown:
        shown.show(WorkProgressed("Loading", 1, 2, "tensors"))
    assert out.getvalue() == ""


def test_a_terminal_shows_that_it_starts_before_anything_is_told():
    shown, out, _ = bar(terminal=True)
    with shown:
        pass
    assert "Starting …" in out.getvalue()


@pytest.mark.parametrize(
    ("elapsed", "done", "total", "said"),
    [
        (4, 50, 100, ""),
        (60, 1, 100, ""),
        (60, 1, None, ""),
        (30, 10, 100, "4:30 left"),
        (10, 100, 100, "0:00 left"),
        (3600, 50, 200, "3:00:00 left"),
    ],
)
def test_the_time_left_is_told_once_there_is_a_pace(elapsed, done, total, said):
    assert time_left(elapsed, done, total) == said
