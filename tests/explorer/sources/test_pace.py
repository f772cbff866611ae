"""Steps that become far slower than the first ones are noticed once."""

from __future__ import annotations

import pytest

from explorer.cli import run_loop
from explorer.cli.run_loop import events, tell_notice
from explorer.sources import live
from explorer.sources.live import LiveSource
from probes.recording.lines import encode
from probes.schema.events import Noticed
from probes.system.pace import SlowdownWatch
from tests.support.live import SETTINGS, Listener, TinyPair


def said(seconds: list[float]) -> list[tuple[int, str]]:
    pace = SlowdownWatch()
    return [(step, sentence) for step, one in enumerate(seconds, 1) if (sentence := pace.add(one))]


def test_far_slower_steps_are_noticed_once_and_with_both_figures():
    found = said([9.0, *[0.5] * 10, *[3.5] * 20])
    assert found == [
        (
            14,
            "Steps take 3.5 s now, and the first ones took 0.5 s. If other programs use the processor, fewer threads "
            "can be faster: try --threads 1.",
        )
    ]


@pytest.mark.parametrize(
    "seconds",
    [
        [9.0, *[0.5] * 40],
        [9.0, *[0.5] * 10, *[3.5, 0.5, 0.5] * 10],
        [0.9, *[0.01] * 10, *[0.9] * 20],
        [9.0, *[0.5 + 0.03 * step for step in range(40)]],
    ],
    ids=["steady", "single ones", "fast all the same", "a growing context"],
)
def test_other_steps_are_not(seconds):
    assert said(seconds) == []


class Slow(SlowdownWatch):
    """Finds the third step slow."""

    def add(self, seconds: float) -> str:
        self._steps += 1
        return "Slow." if self._steps == 3 else ""


def test_a_live_run_and_a_run_without_the_screen_say_so_and_no_recording_keeps_it(monkeypatch, capsys):
    monkeypatch.setattr(live, "SlowdownWatch", Slow)
    monkeypatch.setattr(run_loop, "SlowdownWatch", Slow)
    listener = Listener()
    source = LiveSource(lambda _work: TinyPair(), SETTINGS)  # type: ignore[arg-type,return-value]
    source.open(listener)
    try:
        notice = listener.wait(Noticed)
    finally:
        source.close()
    assert notice.message == "Slow."
    assert encode(notice, 0.0) == b""
    pair = TinyPair()
    with pair.lockstep(SETTINGS) as lockstep:
        found = list(events(lockstep, pair.header(SETTINGS, pair.prompt(SETTINGS)), []))
    assert [type(event).__name__ for event in found[:6]] == [
        "RunStarted",
        *["StepMeasured"] * 3,
        "Noticed",
        "StepMeasured",
    ]
    for event in found:
        tell_notice(event)
    assert capsys.readouterr().err == "Slow.\n"
