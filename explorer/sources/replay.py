"""A recorded session as a source of steps: the same events in the same order, without torch and without weights."""

from __future__ import annotations

import math
import shlex
import statistics
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from explorer.sources.chosen import Chosen, read_recording
from explorer.sources.playback import PlaySpeed
from explorer.sources.source import Sink, Token
from probes.recording import RecordedRun, Session
from probes.schema.branches import Branches
from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Explained,
    Failed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.prune_setting import Setting
from probes.schema.settings import RunSettings
from probes.schema.until import Until, first_met, parse_until

LONGEST_WAIT = 5.0
"""Seconds between two steps of a replay at recorded speed: a longer wait was the machine's, not the model's."""
BETWEEN_ROUNDS = 2.0
"""Seconds that the end of a recording stays before a loop begins again."""
_ADVICE = "; running again"
"""Where a live run's sentence goes on to what running would do, which in a recording it would not."""


class ReplaySource:
    """Plays a recording.

    Opened to look at, all steps of the last run are there at once, and `run` plays them from the first. With `play`
    nothing is released until `run` or `step` asks, and every run of the session follows the one before.
    """

    live = False

    def __init__(
        self,
        path: Path,
        *,
        number: int | None = None,
        play: bool = False,
        pace: float | None = None,
        loop: bool = False,
    ) -> None:
        """`number` is the place of the run to show, from 1; None shows the last, or with `play` all of them. `pace` in
        steps a second; None is the speed at which the steps were measured."""
        self.path = path
        self._chosen = number
        self.pace = PlaySpeed(pace)
        self.loop = loop
        """True begins again when the end is reached."""
        self.session: Session | None = None
        """What the file holds, once it is read."""
        self._play = play
        self._sink: Sink = lambda _event: None
        self._wake = threading.Condition(threading.RLock())
        """Guards everything below."""
        self._reader: threading.Thread | None = None
        self._closed = False
        self._cancelled = False
        self._playing = False
        self._until: list[Until] = []
        self._number = 0
        """The run's number as it is told: it grows with every beginning, also of a run that was told before."""
        self._runs: list[RecordedRun] = []
        """What is played, in order."""
        self._at = 0
        """Which of them."""
        self._place = 0
        """The next of its lines."""
        self._left = 0
        """How many of them are steps, from there on."""
        self._branches = Branches()
        self._shown = self._branches.current
        """The branch that was told to be the current one."""

    # What the interface calls ---------------------------------------------------------------------------------

    def open(self, sink: Sink) -> None:
        self._sink, self._cancelled = sink, False
        self._reader = threading.Thread(target=self._work, name="replaying", daemon=True)
        self._reader.start()

    def close(self) -> None:
        with self._wake:
            self._closed = self._cancelled = True
            self._wake.notify_all()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(1.0)

    def step(self) -> None:
        with self._wake:
            if self._ready() and not self._playing and not self._release():
                self._sink(self._end())

    def run(self, until: Sequence[str] = ()) -> None:
        with self._wake:
            if not self._ready():
                return
            if not self._more():
                self._begin(0)
            try:
                self._until = [parse_until(text, len(self._branches.path())) for text in until]
            except BadInput as problem:
                self._sink(Failed(problem.title, problem.message, problem.hint))
                return
            self._playing = True
            self._sink(RunResumed(self._number, tuple(until)))
            self._wake.notify_all()

    def pause(self) -> None:
        with self._wake:
            if self._playing:
                self._stop(Why.ASKED, f"Paused after step {len(self._branches.path())}.")

    def cancel(self) -> None:
        self._cancelled = True

    def fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None:  # noqa: ARG002 - as asked
        self._refuse(f"Measuring another token at step {step} needs the models.")

    def select(self, branch: int) -> None:
        with self._wake:
            if branch not in self._branches:
                self._sink(Failed("Branch", f"There is no branch {branch} so far.", "Choose one of the list."))
                return
            self.pause()
            self._branches.current = branch
            self._show_branch()

    def restart(self, settings: RunSettings) -> None:  # noqa: ARG002 - as asked
        self._refuse("Another prompt, context or sampler needs the models.")

    def prune(self, setting: Setting) -> None:
        self._refuse(f"Pruning by {setting} needs the models.")

    # What only a recording can do -----------------------------------------------------------------------------

    @property
    def header(self) -> RunHeader | None:
        """The header of the run that is shown, once the file is read."""
        return self._runs[self._at].header if self._runs else None

    def to_end(self) -> None:
        """Shows all that is left of this run at once."""
        with self._wake:
            if self._ready():
                self._playing = False
                while self._release():
                    pass
                self._sink(self._end())

    @property
    def recorded_runs(self) -> list[tuple[int, str]]:
        """The runs of the file that have steps: each one's place, from 1, and what it is in a line."""
        return [(run.place, run_in_a_line(run)) for run in self.session.runs if run.steps] if self.session else []

    @property
    def shown_run(self) -> int:
        """The place of the run that is shown, from 1; 0 before any."""
        return self._runs[self._at].place if self._runs else 0

    def show_run(self, place: int) -> None:
        """Shows another run of the file instead, whole."""
        with self._wake:
            if self.session is not None and 1 <= place <= len(self.session.runs):
                self._playing = False
                self._runs = [self.session.runs[place - 1]]
                self._begin(0)
                self.to_end()

    # The thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            session = read_recording(Chosen(self.path, self._chosen), self._watch)
        except PhierError as problem:
            self._sink(Failed(problem.title, problem.message, problem.hint))
            return
        with self._wake:
            self.session = session
            all_of_them = self._play and session.chosen is None
            self._runs = [run for run in session.runs if all_of_them and run.steps] or [session.run]
            self.pace = replace(self.pace, measured=rate_of(self._runs))
            self._begin(0)
            if not self._play:
                self.to_end()
            if session.notes:
                self._sink(Failed("Not all of it can be read", " ".join(session.notes), "The rest is shown."))
        while not self._closed:
            with self._wake:
                if not self._playing:
                    self._wake.wait()
                elif not self._wake.wait_for(lambda: self._closed or not self._playing, self._until_next()):
                    self._advance()

    def _watch(self, done: int) -> None:
        if self._cancelled:
            raise Cancelled(f"Reading {visible(self.path.name)}")
        try:
            total = self.path.stat().st_size
        except OSError:  # it was deleted meanwhile; what was opened can still be read
            total = done
        self._sink(WorkProgressed(f"Reading {visible(self.path.name)}", done, max(done, total), "bytes"))

    def _until_next(self) -> float:
        """Seconds to the next step, or to the next round of a loop."""
        if not self._more():
            return BETWEEN_ROUNDS if self.loop else 0.0
        if (pace := self.pace.chosen) is not None:
            return 1.0 / pace if pace > 0 else LONGEST_WAIT
        lines = self._runs[self._at].lines
        for place in range(self._place, len(lines)):
            event = lines[place].event
            if isinstance(event, StepMeasured):
                return _wait(event.seconds)
        return 0.0

    def _advance(self) -> None:
        """Plays the next step, the next run, or the next round."""
        if self._release():
            if reason := first_met(self._until, self._branches.path()):
                self._stop(Why.UNTIL, reason)
        elif self._at + 1 < len(self._runs):
            self._go_on(self._at + 1)
        elif self.loop:
            self._go_on(0)
        if self._playing and not self._more() and not self.loop:
            self._playing = False
            self._release()  # what was told after the last step: another branch, an explanation
            self._sink(self._end())

    def _go_on(self, index: int) -> None:
        self._begin(index)
        self._sink(RunResumed(self._number))

    # Releasing ------------------------------------------------------------------------------------------------

    def _ready(self) -> bool:
        """Is the file read? What is asked for earlier comes of itself."""
        return bool(self._runs)

    def _more(self) -> bool:
        """Is there a step left to play?"""
        return self._left > 0 or any(run.steps for run in self._runs[self._at + 1 :])

    def _begin(self, index: int) -> None:
        self._at, self._place = index, 1
        self._left = sum(isinstance(line.event, StepMeasured) for line in self._runs[index].lines)
        self._branches = Branches()
        self._shown = self._branches.current
        self._number += 1
        self._sink(RunStarted(self._number, self._runs[index].header))

    def _release(self) -> bool:
        """Tells the next step with everything before it; False where the run has none left."""
        lines = self._runs[self._at].lines
        while self._place < len(lines):
            event = lines[self._place].event
            self._place += 1
            match event:
                case StepMeasured():
                    self._branches.current = event.branch
                    self._show_branch()
                    self._left -= 1
                    self._branches.add(event.branch, event.record)
                    self._sink(StepMeasured(self._number, event.branch, event.record, event.seconds))
                    return True
                case BranchOpened():
                    self._branches.open(event.branch)
                    self._shown = event.branch.id
                    self._sink(BranchOpened(self._number, event.branch))
                case BranchSelected():
                    self._branches.current = event.branch
                case Explained():
                    self._sink(replace(event, run=self._number))
                case RunStarted() | RunResumed() | RunPaused() | Failed():
                    pass
        self._show_branch()
        return False

    def _show_branch(self) -> None:
        """Tells which branch is the current one, where that is another than was told last."""
        if self._branches.current != self._shown:
            self._shown = self._branches.current
            self._sink(BranchSelected(self._number, self._shown))

    def _stop(self, why: Why, reason: str) -> None:
        self._playing = False
        self._sink(RunPaused(self._number, why, reason))

    def _end(self) -> RunPaused:
        """Why there is no more, in the recording's own words where the branch that is shown ended by itself."""
        run, branch = self._runs[self._at], self._branches.current
        last = last_pause(run, branch)
        if last is not None and last.why in (Why.ENDED, Why.INVALID, Why.STEPS):
            sentence, advice, _ = last.reason.partition(_ADVICE)
            return RunPaused(self._number, last.why, f"{sentence}." if advice else sentence)
        session = self.session
        if last is not None or session is None or run is not session.runs[-1] or branch != last_branch(run):
            return RunPaused(self._number, Why.ASKED, "The recording ends here.")
        after = f"after step {len(self._branches.path())}"
        if session.cut:
            return RunPaused(self._number, Why.OPEN, f"The recording is cut off {after}, within a line.")
        return RunPaused(
            self._number,
            Why.OPEN,
            f"No end is recorded {after}: the file is still being written, or was cut off.",
        )

    def _refuse(self, sentence: str) -> None:
        command = command_line(self.header) if self.header is not None else ""
        hint = f"`{command}` opens them on this prompt." if command else ""
        self._sink(Failed("Only a recording", f"{sentence} A recording holds what was measured.", hint))


def run_in_a_line(run: RecordedRun) -> str:
    """A run in a line: what was pruned, in which context, how far, on which prompt."""
    header = run.header
    steps = "1 step" if run.steps == 1 else f"{run.steps} steps"
    prompt = visible(" ".join(header.settings.prompt[:400].split()), 60)
    return f"{header.title}, {header.settings.follow.value}, {steps}, “{prompt}”"


def rate_of(runs: Sequence[RecordedRun]) -> float:
    """Steps a second at which these runs play as they were measured: the median, inf where no step was timed."""
    waits = [_wait(seconds) for run in runs for seconds in run.seconds.values()]
    wait = statistics.median(waits) if waits else 0.0
    return 1.0 / wait if wait > 0 else math.inf


def last_pause(run: RecordedRun, branch: int) -> RunPaused | None:
    """Why a branch of a run stood still at last; None where it was not paused after its last step."""
    found, current = None, 0
    for line in run.lines:
        match line.event:
            case StepMeasured(branch=current):
                found = None if current == branch else found
            case BranchOpened(branch=opened):
                current = opened.id
            case BranchSelected(branch=current):
                pass
            case RunPaused() as paused if current == branch:
                found = paused
            case RunResumed() if current == branch and found is not None and found.why in (Why.ASKED, Why.UNTIL):
                found = None
    return found


def last_branch(run: RecordedRun) -> int:
    """The branch that was measured or shown last."""
    found = (line.event for line in reversed(run.lines))
    return next((event.branch for event in found if isinstance(event, (StepMeasured, BranchSelected))), 0)


def command_line(header: RunHeader) -> str:
    """The command that opens the models of a recorded run on its prompt; "" where it does not know them."""
    if not header.dense.spec:
        return ""
    settings, sampling = header.settings, header.settings.sampling
    pruned = header.prune.setting if header.prune else ""
    options: dict[str, object] = {
        "--dense": header.dense.spec,
        "--prune": pruned,
        "--pruned": "" if pruned else header.pruned.spec,
        "--follow": settings.follow.value,
        "--text": settings.text,
        "--temperature": f"{sampling.temperature:g}" if sampling.temperature else "",
        "--top-k": sampling.top_k or "",
        "--top-p": f"{sampling.top_p:g}" if sampling.top_p < 1 else "",
        "--seed": sampling.seed or "",
        "--analysis-temperature": settings.analysis_temperature or "",
        "--prompt": settings.prompt,
    }
    words = [word for name, value in options.items() if value != "" for word in (name, str(value))]
    return shlex.join(["phier-tui", *words, *(["--raw"] if settings.raw else [])])


def _wait(seconds: float) -> float:
    """Seconds to wait for a step that took so many."""
    return min(max(seconds, 0.0), LONGEST_WAIT)
