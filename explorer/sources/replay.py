"""A recording as a source of steps: the same events in the same order, without torch and without weights."""

from __future__ import annotations

import math
import statistics
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from explorer.sources.chosen import Chosen, read_recording
from explorer.sources.command_line import command_line
from explorer.sources.kept_results import ResultsSource
from explorer.sources.playhead import Playhead
from explorer.sources.recorded_end import end_of
from explorer.sources.recorded_prompt import recorded_rendering
from explorer.sources.results_beside import belong_together, results_beside
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Sink
from explorer.sources.subjects import place_of, subjects
from explorer.words.bound_keys import key_of
from probes.recording import RecordedRun, Recording
from probes.schema.counting import number_of
from probes.schema.errors import BadInput, Cancelled, FailureKind, PhierError
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Event,
    Explained,
    Failed,
    PlaybackChanged,
    PromptRendered,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    WorkProgressed,
)
from probes.schema.foreign_text import visible
from probes.schema.requests import (
    Cancel,
    Explain,
    FindPassages,
    FindRepair,
    Fork,
    Judge,
    Pause,
    PlayAt,
    Prune,
    Rank,
    RenderPrompt,
    Repeat,
    Request,
    Restart,
    Run,
    Select,
    ShowRun,
    Step,
    ToEnd,
    Watch,
)

LONGEST_WAIT = 5.0
"""The longest wait in seconds between two steps at recorded speed: a longer one was the machine's, not the model's."""
BETWEEN_ROUNDS = 2.0
"""Seconds to wait at the end of a recording before a loop begins again."""


class ReplaySource:
    """Plays a recording.

    Without `play`, all steps of the last run are shown at once, and `Run` plays them from the first. With `play`, no
    step is shown until `Run` or `Step` asks for it, and the runs of the file follow one another.
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
        self._speed = pace
        self._loop = loop
        self._play = play
        self.recording: Recording | None = None
        """The contents of the file, once it is read."""
        self._results: ResultsSource | None = None
        """The results file beside it, once it was asked for."""
        self._sink: Sink = lambda _event: None
        self._wake = threading.Condition(threading.RLock())
        """Guards everything below."""
        self._reader: threading.Thread | None = None
        self._reading = True
        """True until the file is read, or can't be."""
        self._closed = False
        self._cancelled = False
        self._head = Playhead(limited=False)
        self._run = Run()
        """The request that is played; the next round of a loop plays it again."""
        self._runs: list[RecordedRun] = []
        """The runs that are played, in order."""
        self._at = 0
        """The place of the present run among them."""
        self._place = 0
        """The place of its next line."""
        self._left = 0
        """How many steps are left, from that line on."""
        self._shown = 0
        """The branch that the latest event made the current one."""
        self._playback: PlaybackChanged | None = None

    # What the interface calls ---------------------------------------------------------------------------------

    def open(self, sink: Sink) -> None:
        self._sink, self._cancelled, self._reading = sink, False, True
        self._reader = threading.Thread(target=self._work, name="replaying", daemon=True)
        self._reader.start()

    def close(self) -> None:
        with self._wake:
            self._closed = self._cancelled = True
            self._wake.notify_all()
        if self._results is not None:
            self._results.close()
        if self._reader is not None and self._reader is not threading.current_thread():
            self._reader.join(1.0)

    @property
    def reading(self) -> bool:
        """True until the file is read and its first events are sent, or can't be."""
        return self._reading

    def wait_idle(self, seconds: float) -> bool:
        with self._wake:
            return self._wake.wait_for(lambda: not (self._reading or self._head.running), seconds)

    def ask(self, request: Request) -> None:
        if isinstance(request, Cancel):
            self._cancelled = True
            return
        with self._wake:
            try:
                if self._runs:  # a request that comes earlier is answered by what is shown once the file is read
                    self._answer(request)
            except PhierError as problem:
                self._tell(failure_of(problem, request.id))
            self._wake.notify_all()

    def _answer(self, request: Request) -> None:
        head = self._head
        match request:
            case Step():
                if head.step(request) and not self._release():
                    self._tell(head.stop(self._end()))
            case Run():
                if not self._more():
                    self._begin(0, request.id)
                self._tell(*head.go(request))
                self._run = request
            case Pause():
                self._tell(*head.pause(request.id))
            case Select(branch):
                if branch not in head.branches:
                    raise BadInput("Branch", f"There is no branch {branch} so far.", "Choose one from the list.")
                self._tell(*head.rest(request.id), head.select(branch, request.id))
                self._shown = branch
            case ToEnd():
                self._to_end(request.id)
            case ShowRun(place):
                self._show_run(place, request.id)
            case PlayAt(speed):
                self._speed = speed
                self._tell_playback(request.id)
            case Repeat(on):
                self._loop = on
                self._tell_playback(request.id)
            case Fork(step):
                self._refuse(request, f"Measuring another token at step {step} needs the models.")
            case Restart():
                self._refuse(request, "Another prompt, context or sampler needs the models.")
            case RenderPrompt(settings):
                run = self._runs[self._at]
                if settings == run.header.settings:
                    self._tell(PromptRendered(recorded_rendering(run.header, run.path), request=request.id))
                else:
                    self._refuse(request, "Another prompt needs the models.")
            case Watch():
                self._refuse(request, "Watching other tokens needs the models.")
            case Prune(setting):
                self._refuse(request, f"Pruning by {setting} needs the models.")
            case Rank():
                self._refuse(request, "Ranking the layers needs the models.")
            case Explain():
                self._explain(request)
            case FindRepair():
                self._refuse(request, "Searching for a repair needs the models.")
            case Judge():
                self._judge(request)
            case FindPassages(where):
                self._refuse(request, f"Searching {visible(where)} needs the models.")

    def _explain(self, request: Explain) -> None:
        """Sends what was recorded of it, and says what was not."""
        known = {place_of(event): event for event in self._runs[self._at].explanations}
        asked = [(one, kind) for one in subjects(request, self._head.run, self._head.branches) for kind in one.kinds]
        found = [known[one.place(kind)] for one, kind in asked if one.place(kind) in known]
        self._tell(*(replace(event, run=self._head.run, request=request.id) for event in found))
        missing = dict.fromkeys(kind for one, kind in asked if one.place(kind) not in known)
        if missing and (request.near is None or not found):  # of a window, what there is will do
            steps = f"step {request.step}" + (f" to {request.through}" if request.through is not None else "")
            names = ", ".join(missing).replace("_", " ")
            self._refuse(
                request, f"Of {steps}, {names} was not recorded; explaining it needs the models ({key_of('models')})."
            )

    def _judge(self, request: Judge) -> None:
        """Judges what a results file beside the recording holds."""
        beside = results_beside(self.path)
        if self._results is not None:
            self._results.ask(request)
        elif belong_together(beside, self._runs[self._at].header):
            self._results = ResultsSource(beside, margin=request.margin, level=request.level, request=request.id)
            self._results.open(self._sink)
        else:
            self._refuse(request, "Scoring items needs the models.")

    def _refuse(self, request: Request, sentence: str) -> None:
        command = command_line(self._runs[self._at].header)
        hint = f"`{command}` opens them on this prompt." if command else ""
        message = f"{sentence} A recording holds only the measured steps."
        self._tell(Failed("Only a recording", message, hint, FailureKind.NEEDS_MODELS, request=request.id))

    # The thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            recording = read_recording(Chosen(self.path, self._chosen), self._watch)
        except PhierError as problem:
            self._tell(failure_of(problem))
            with self._wake:
                self._reading = False
                self._wake.notify_all()
            return
        with self._wake:
            self.recording = recording
            all_of_them = self._play and recording.chosen is None
            self._runs = [run for run in recording.runs if all_of_them and run.steps] or [recording.run]
            self._begin(0)
            if not self._play:
                self._to_end(0)
            if recording.notes:
                title, kind = "Some lines can't be read", FailureKind.PARTLY_READ
                self._tell(Failed(title, " ".join(recording.notes), "The rest is shown.", kind))
            self._reading = False
        while not self._closed:
            with self._wake:
                if not self._head.running:
                    self._wake.notify_all()
                    self._wake.wait()
                elif not self._wake.wait_for(lambda: self._closed or not self._head.running, self._until_next()):
                    self._advance()

    def _watch(self, done: int) -> None:
        if self._cancelled:
            raise Cancelled(f"Reading {visible(self.path.name)}")
        try:
            total = self.path.stat().st_size
        except OSError:  # it was deleted meanwhile; the open file can still be read
            total = done
        self._tell(WorkProgressed(f"Reading {visible(self.path.name)}", done, max(done, total), "bytes"))

    def _until_next(self) -> float:
        """Seconds to the next step, or to the next round of a loop."""
        if not self._more():
            return BETWEEN_ROUNDS if self._loop else 0.0
        if self._speed is not None:
            return 1.0 / self._speed if self._speed > 0 else LONGEST_WAIT
        lines = self._runs[self._at].lines
        for place in range(self._place, len(lines)):
            event = lines[place].event
            if isinstance(event, StepMeasured):
                return _wait(event.seconds)
        return 0.0

    def _advance(self) -> None:
        """Plays the next step, the next run, or the next round."""
        if not self._release():
            if self._at + 1 < len(self._runs):
                self._go_on(self._at + 1)
            elif self._loop:
                self._go_on(0)
        if self._head.running and not self._more() and not self._loop:
            self._release()  # the events after the last step: another branch, an explanation
            self._tell(self._head.stop(self._end()))

    def _go_on(self, index: int) -> None:
        self._begin(index, self._run.id)
        self._tell(*self._head.go(self._run))

    # Releasing ------------------------------------------------------------------------------------------------

    def _tell(self, *events: Event) -> None:
        for event in events:
            self._sink(event)

    def _more(self) -> bool:
        """Is there a step left to play?"""
        return self._left > 0 or any(run.steps for run in self._runs[self._at + 1 :])

    def _begin(self, index: int, request: int = 0) -> None:
        self._at, self._place = index, 1
        self._left = sum(isinstance(line.event, StepMeasured) for line in self._runs[index].lines)
        self._tell_playback(request)
        self._tell(self._head.start(self._runs[index].header, request))
        self._shown = self._head.branches.current

    def _tell_playback(self, request: int) -> None:
        runs = (
            tuple((run.place, run_in_a_line(run)) for run in self.recording.runs if run.steps) if self.recording else ()
        )
        playback = PlaybackChanged(
            self._speed, rate_of(self._runs), self._loop, runs, self._runs[self._at].place, request=request
        )
        if playback != self._playback:
            self._playback = playback
            self._tell(playback)

    def _show_run(self, place: int, request: int) -> None:
        assert self.recording is not None
        if not 1 <= place <= len(self.recording.runs):
            raise BadInput("Run", f"The recording has no run {place}.", "Choose one from the list.")
        self._runs = [self.recording.runs[place - 1]]
        self._begin(0, request)
        self._to_end(request)

    def _to_end(self, request: int) -> None:
        """Shows all that is left of this run at once."""
        while self._release(request):
            pass
        self._tell(self._head.stop(self._end(), request))

    def _release(self, request: int | None = None) -> bool:
        """Sends the next step and the events before it; False if the run has none left.

        The step answers the request that waits for one, unless another is named.
        """
        head = self._head
        answered = head.answering if request is None else request
        lines = self._runs[self._at].lines
        while self._place < len(lines):
            event = lines[self._place].event
            self._place += 1
            match event:
                case StepMeasured():
                    head.branches.current = event.branch
                    self._show_branch(answered)
                    self._left -= 1
                    self._tell(*head.take(event.record, event.seconds, request=request))
                    return True
                case BranchOpened():
                    self._tell(head.open(event.branch, answered))
                    self._shown = event.branch.id
                case BranchSelected():
                    head.branches.current = event.branch
                case Explained():
                    self._tell(replace(event, run=head.run, request=answered))
                case RunStarted() | RunResumed() | RunPaused() | Failed():
                    pass
        self._show_branch(answered)
        return False

    def _show_branch(self, request: int) -> None:
        """Sends the current branch, if the latest event named another."""
        if self._head.branches.current != self._shown:
            self._shown = self._head.branches.current
            self._tell(self._head.select(self._shown, request))

    def _end(self) -> RunPaused:
        assert self.recording is not None
        return end_of(self.recording, self._runs[self._at], self._head.branches.current)


def run_in_a_line(run: RecordedRun) -> str:
    """A run in a line: its setting, its context, its length, and its prompt."""
    header = run.header
    prompt = visible(" ".join(header.settings.prompt[:400].split()), 60)
    return f"{header.title}, {header.settings.follow.value}, {number_of(run.steps, 'step')}, “{prompt}”"


def rate_of(runs: Sequence[RecordedRun]) -> float:
    """Steps a second at which these runs play as they were measured: the median, inf if no step was timed."""
    waits = [_wait(seconds) for run in runs for seconds in run.seconds.values()]
    wait = statistics.median(waits) if waits else 0.0
    return 1.0 / wait if wait > 0 else math.inf


def _wait(seconds: float) -> float:
    """Seconds to wait for a step that took so many."""
    return min(max(seconds, 0.0), LONGEST_WAIT)
