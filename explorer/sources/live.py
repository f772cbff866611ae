"""Live models as a source of steps: one thread loads, prunes and measures; the interface only asks and listens.

While nobody waits for a step, the next few are measured ahead, so that a key press shows its step at once. A step that
is measured ahead is not part of the run until it is released: a fork or a new setting throws it away.

Long work (`Rank`, `Explain`, `FindRepair`) has a thread of its own, so that steps can run beside it, and so has scoring
(`Judge`, `FindPassages`). The models belong to one thread at a time: they take turns, a step, a text or a pass at a
time, and nothing that one changes on a model (a hook, a weight) outlives its turn unless the other may see it.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from explorer.sources.explaining import Explaining, ShownRun
from explorer.sources.judging import Judging
from explorer.sources.lane import Lane, Stopping, Turns
from explorer.sources.measured import FREELY, Forced, MeasuredPaths, forced_at
from explorer.sources.playhead import Playhead
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Sink
from probes.schema.branches import Branch
from probes.schema.counting import number_of
from probes.schema.errors import BadInput, PhierError
from probes.schema.events import Event, Explained, Noticed, PromptRendered, Why, WorkProgressed
from probes.schema.record import StepRecord
from probes.schema.requests import (
    Cancel,
    Explain,
    FindPassages,
    FindRepair,
    Fork,
    Judge,
    Pause,
    Prune,
    Rank,
    RenderPrompt,
    Request,
    Restart,
    Run,
    Select,
    Step,
    Token,
    Watch,
)
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.stepping.ending import why_ended
from probes.system.pace import SlowdownWatch
from probes.system.progress import READING_PROMPT, Work

if TYPE_CHECKING:
    from probes.models.prompting import Prompt
    from probes.pair import Pair
    from probes.stepping.lockstep import Lockstep

IMPORTING = "Loading torch and transformers"
READ_AHEAD = 8
"""The most steps that are measured before they are asked for."""

Loader = Callable[[Work], "Pair"]
"""Loads the pair, as work that is watched and can be stopped."""


def loader(spec: PairSpec) -> Loader:
    """A loader for the models of a specification. Torch is imported only when it is called."""

    def load(work: Work) -> Pair:
        work.report(IMPORTING)
        first = "torch" not in sys.modules
        from probes.pair import load_pair

        if first:
            # Nine of ten objects in memory are modules' now, and stay. Looking through them in every full collection of
            # garbage would hold the screen up for a quarter of a second. The models come later: they can be freed.
            gc.freeze()
        work.check(IMPORTING)
        return load_pair(spec, work)

    return load


class LiveSource:
    """A dense and a pruned model behind the `Source` interface."""

    live = True

    def __init__(self, load: Loader, settings: RunSettings, turns: Turns | None = None) -> None:
        """`turns` are those with the models, if other sources use them, too."""
        self._load = load
        self._settings = settings
        self._sink: Sink = lambda _event: None
        self._measuring = Lane("measuring", self._failed, self._advance)
        self._beside = Lane("long work", lambda request, problem: self._tell(failure_of(problem, request)))
        self._scoring = Lane("scoring", lambda request, problem: self._tell(failure_of(problem, request)))
        self._models = turns or Turns()
        """Whose turn it is with the models."""
        self._lock = threading.RLock()
        """Guards everything below: the measuring thread and the interface both release steps that were read ahead."""
        self._head = Playhead()
        self._pair: Pair | None = None
        self._closed = False
        self._lockstep: Lockstep | None = None
        self._fingerprint = ""
        self._prompt: Prompt | None = None
        """The prompt of this run; another prune setting is measured on the same tokens."""
        self._ahead: deque[tuple[StepRecord, float]] = deque()
        self._forced: dict[int, Forced] = {}
        """The forced tokens of this run, by step."""
        self._measured = MeasuredPaths()
        self._explaining = Explaining(self._models, self._lock, self._shown, self._tell)
        self._judging = Judging(self._models, self._lock, self._loaded, self._tell)
        self._pace, self._on_cpu = SlowdownWatch(), False
        self._healthy = True
        """False from a failure until the next request: a step that failed is not tried again unasked."""

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._do(0, self._begin)

    def ask(self, request: Request) -> None:
        match request:
            case Step():
                with self._lock:
                    if self._head.step(request) and self._ahead:
                        self._release()
                    self._healthy = True
                self._measuring.wake()
            case Run():
                self._do(request.id, lambda _: self._go(request))
            case Pause():
                with self._lock:
                    self._tell(*self._head.pause(request.id))
            case Cancel():
                self._measuring.cancel(request.request)
                if request.request:
                    self._beside.cancel(request.request)
                    self._scoring.cancel(request.request)
            case Fork():
                self._do(request.id, lambda _: self._fork(request))
            case Select():
                self._do(request.id, lambda _: self._select(request))
            case Restart(settings):
                self._change(request.id, READING_PROMPT, lambda work: self._start(request.id, settings, work))
            case RenderPrompt(settings):
                self._do(request.id, lambda _: self._render(request.id, settings))
            case Watch():
                self._change(request.id, READING_PROMPT, lambda work: self._watch(request, work))
            case Prune(setting):
                self._change(request.id, f"Pruning by {setting}", lambda work: self._prune(request, work))
            case Rank():
                self._beside.put(
                    lambda cancelled: self._rank(request, self._watched(request.id, cancelled)), request.id
                )
            case Explain():
                self._beside.put(
                    lambda cancelled: self._explaining.explain(request, self._watched(request.id, cancelled)),
                    request.id,
                )
            case FindRepair():
                self._beside.put(
                    lambda cancelled: self._explaining.repair(request, self._watched(request.id, cancelled)),
                    request.id,
                )
            case Judge():
                self._score(request.id, lambda work, age: self._judging.judge(request, work, age))
            case FindPassages():
                self._score(request.id, lambda work, age: self._judging.find(request, work, age))
            case _:
                self._tell(failure_of(BadInput("Not a recording", "Only a recording can be played."), request.id))

    def close(self) -> None:
        self._closed = True
        self._beside.close(0.0)
        self._scoring.close(0.0)
        if self._measuring.close(1.0) and self._lockstep is not None:
            self._lockstep.close()
        if self._pair is not None:
            self._pair.close()

    def wait_idle(self, seconds: float) -> bool:
        return all(lane.wait_idle(seconds) for lane in (self._measuring, self._beside, self._scoring))

    def _tell(self, *events: Event) -> None:
        for event in events:
            self._sink(event)

    def _watched(self, request: int, cancelled: Stopping) -> Work:
        """Work for a request: its progress is an event, and it can be cancelled."""
        return Work(lambda progress: self._sink(replace(progress, request=request)), cancelled)

    def _do(self, request: int, task: Callable[[Work], None], *, brief: bool = True) -> None:
        """Makes the measuring thread do a task with the models."""

        def in_turn(cancelled: Stopping) -> None:
            with self._models.turn(brief=brief):
                task(self._watched(request, cancelled))

        self._measuring.put(in_turn, request)

    def _change(self, request: int, name: str, task: Callable[[Work], None]) -> None:
        """Pauses and shows the task's name at once. The task begins after the step in progress."""
        with self._lock:
            self._tell(*self._head.pause(request))
        if self._pair is not None:
            self._tell(WorkProgressed(name, request=request))
        self._do(request, task, brief=False)

    def _score(self, request: int, task: Callable[[Work, int], None]) -> None:
        """Makes the scoring thread do a task, after every change of the models that was asked for before it."""

        def begin(cancelled: Stopping) -> None:
            age = self._judging.age
            self._scoring.put(lambda stops: task(self._watched(request, lambda: cancelled() or stops()), age), request)

        self._measuring.put(begin, request)

    # The measuring thread -------------------------------------------------------------------------------------

    def _failed(self, request: int, problem: Exception) -> None:
        with self._lock:
            answering = request or self._head.answering
            self._tell(*self._head.rest(answering, Why.FAILED))
            self._healthy = False
            self._ahead.clear()
            if self._lockstep is not None:
                self._lockstep.seek(self._head.path)
            self._tell(failure_of(problem, answering))

    def _advance(self) -> bool:
        """Releases a step that is wanted, or measures one ahead; False if there is nothing to do."""
        lockstep = self._lockstep
        if lockstep is None:
            return False
        with self._lock:
            if self._head.wanted and self._ahead:
                self._release()
                return True
            if self._head.wanted and lockstep.finished:
                self._tell(self._head.stop(why_ended(lockstep)))
                return True
            ahead = self._healthy and len(self._ahead) < READ_AHEAD
            if lockstep.finished or not (self._head.wanted or ahead):
                return False
        dense, pruned = self._forced.get(len(lockstep.path) + 1, FREELY)
        with self._models.turn(brief=True):
            begun = time.perf_counter()
            record = lockstep.step(dense=dense, pruned=pruned)
            seconds = time.perf_counter() - begun
        with self._lock:
            self._ahead.append((record, seconds))
            if changed := lockstep.take_news():
                self._tell(Noticed("How the models compute", changed))
            if (slow := self._pace.add(seconds)) and self._on_cpu:
                self._tell(Noticed("Steps have become slow", slow))
        return True

    def _release(self) -> None:
        """Makes the oldest step that was read ahead part of the run."""
        record, seconds = self._ahead.popleft()
        lockstep = self._stepping()
        last = lockstep.finished and not self._ahead
        self._tell(*self._head.take(record, seconds, last=last))
        if last and self._head.running:
            self._tell(self._head.stop(why_ended(lockstep)))

    def _begin(self, work: Work) -> None:
        self._adopt(self._load(work))
        self._start(0, self._settings, work)

    def _adopt(self, pair: Pair) -> Pair:
        """Uses these models from here on; if nobody needs them any more, ends what they keep running."""
        self._pair = pair
        if self._closed:
            pair.close()
        return pair

    def _start(self, request: int, settings: RunSettings, work: Work, prompt: Prompt | None = None) -> None:
        """Begins a new run, on `prompt` if it was read before. If the run can't begin, the old one stays."""
        pair = self._loaded()
        prompt = prompt or pair.prompt(settings)
        lockstep = pair.lockstep(settings, prompt)
        try:
            lockstep.prefill(work)
        except BaseException:
            lockstep.close()
            raise
        self._begin_run(request, lockstep, settings, prompt)

    def _begin_run(self, request: int, lockstep: Lockstep, settings: RunSettings, prompt: Prompt) -> None:
        """Makes this lockstep, which has not stepped yet, the one of the run."""
        header = self._loaded().header(settings, prompt)
        with self._lock:
            self._explaining.forget()
            if self._lockstep is not None:
                self._lockstep.close()
            if settings == self._settings and self._prompt is not None and self._prompt.ids != prompt.ids:
                self._measured = MeasuredPaths()  # its paths were read on another day's prompt
            self._lockstep, self._settings, self._prompt = lockstep, settings, prompt
            self._fingerprint = header.dense.fingerprint
            self._ahead.clear()
            self._forced = {}
            self._pace, self._on_cpu = SlowdownWatch(), header.dense.device == "cpu"
            self._tell(self._head.start(header, request))

    def _render(self, request: int, settings: RunSettings) -> None:
        """Tells what the models would read, or why they can't. The run goes on."""
        from probes.models.rendering import rendered

        try:
            pair = self._loaded()
            found = rendered(pair.dense.tokenizer, pair.prompt(settings))
        except PhierError as problem:
            self._tell(PromptRendered(None, f"{problem.message} {problem.hint}".strip(), request=request))
        else:
            self._tell(PromptRendered(found, request=request))

    def _prune(self, request: Prune, work: Work) -> None:
        """Changes the pruned model, then shows as many of its steps as there were, with the same forced tokens.

        Steps that were measured earlier under this setting are shown at once; all others are measured. If another
        change comes while steps are measured again, that change measures all of them. On any error nothing changes.
        """
        pair, path = self._loaded(), self._head.path
        self._quiet(request.id)
        self._measured.keep(pair.made_by, self._settings, path)
        self._explaining.keep(pair.made_by, self._settings)
        again = max(len(path), self._head.again)
        forced = self._forced | {record.step: forced_at(record) for record in path}
        self._explaining.forget()
        self._judging.overtake()
        before = pair.twin.state if pair.twin is not None else None
        repruned = self._adopt(pair.repruned(request.setting, work))
        try:
            known = self._begin_again(request.id, self._settings, forced, work)
        except BaseException:
            # The run that is shown continues, so its weights must be those that filled its caches.
            self._pair = pair
            if pair.twin is not None and before is not None:
                pair.twin.set_state(before)
            raise
        self._show_known(request.id, known, forced, again)
        self._explaining.recall(repruned.made_by, self._settings, known)
        self._measure_rest(request.id, known, again)

    def _watch(self, request: Watch, work: Work) -> None:
        """Follows other tokens, and shows as many steps as there were, on the same tokens. What was found about them
        holds. On any error nothing changes."""
        settings, path = replace(self._settings, watch=request.groups), self._head.path
        made_by = self._loaded().made_by
        self._quiet(request.id)
        self._measured.keep(made_by, self._settings, path)
        self._explaining.keep(made_by, settings)
        again = max(len(path), self._head.again)
        forced = self._forced | {record.step: forced_at(record) for record in path}
        known = self._begin_again(request.id, settings, forced, work)
        self._show_known(request.id, known, forced, again)
        self._explaining.recall(made_by, settings, path)
        self._measure_rest(request.id, known, again)

    def _begin_again(
        self, request: int, settings: RunSettings, forced: Mapping[int, Forced], work: Work
    ) -> list[StepRecord]:
        """Begins a run of this pair on the same prompt. Returns its steps that were measured earlier."""
        pair = self._loaded()
        known = self._measured.find(pair.made_by, settings, forced)
        if known:
            prompt = self._prompt or pair.prompt(settings)
            self._begin_run(request, pair.lockstep(settings, prompt), settings, prompt)
        else:
            self._start(request, settings, work, self._prompt)
        return known

    def _show_known(self, request: int, known: Sequence[StepRecord], forced: dict[int, Forced], again: int) -> None:
        with self._lock:
            self._head.again, self._forced = again, forced
            for record in known:
                self._tell(*self._head.take(record, request=request))
        self._stepping().seek(known)

    def _measure_rest(self, request: int, known: Sequence[StepRecord], again: int) -> None:
        if len(known) < again:
            self._go(Run(id=request))
        elif known:
            with self._lock:
                self._tell(self._head.stop(Why.KNOWN, request))

    def _go(self, request: Run) -> None:
        lockstep = self._stepping()
        with self._lock:
            self._healthy = True
            self._tell(*self._head.go(request))
            if self._head.running and lockstep.finished and not self._ahead:
                self._tell(self._head.stop(why_ended(lockstep)))

    def _fork(self, request: Fork) -> None:
        lockstep, branches, step = self._stepping(), self._head.branches, request.step
        path = self._head.path
        dense, pruned = self._id_of(request.dense), self._id_of(request.pruned)
        if not 1 <= step <= len(path) + 1 or (dense is None and pruned is None):
            raise BadInput(
                "Fork",
                f"Step {step} can't be forked: the run has {number_of(len(path), 'step')}.",
                "Choose one of them.",
            )
        same = branches.that_takes(step, dense, pruned)
        if same is not None:
            if branches[same].step != step:
                taken = f"The text already takes that token at step {step}."
                raise BadInput("Fork", taken, "Choose another token.")
            if same != branches.current:
                self._select(Select(same, id=request.id))
            return  # asked for twice
        self._quiet(request.id)
        lockstep.seek(list(path[: step - 1]))
        if lockstep.finished:
            raise BadInput("Fork", f"The run ended before step {step}.", "Choose an earlier step.")
        begun = time.perf_counter()
        record = lockstep.step(dense=dense, pruned=pruned)
        names = {
            "dense": record.taken if dense is not None or lockstep.settings.follow is not Follow.FREE else None,
            "pruned": record.taken_pruned if pruned is not None else None,
        }
        forced = " and ".join(f"{taken.token!r} on {name}" for name, taken in names.items() if taken is not None)
        if not forced:
            ended = f"That text ended before step {step}."
            raise BadInput("Fork", ended, "Choose the other text, or an earlier step.")
        with self._lock:
            branch = Branch(branches.next_id(), branches.current, step, dense, pruned, f"step {step}: {forced}")
            self._forced = {}
            self._tell(self._head.open(branch, request.id))
            self._tell(*self._head.take(record, time.perf_counter() - begun, request=request.id))

    def _id_of(self, token: Token | None) -> int | None:
        """A token's id. Raises `BadInput` if a text is not one token of the dense model's."""
        if not isinstance(token, str):
            return token
        from probes.models.token_named import token_named

        return token_named(self._loaded().dense.tokenizer, token)

    def _select(self, request: Select) -> None:
        lockstep = self._stepping()
        if request.branch not in self._head.branches:
            raise BadInput("Branch", f"There is no branch {request.branch}.", "Choose one from the list.")
        self._quiet(request.id)
        with self._lock:
            selected = self._head.select(request.branch, request.id)
            lockstep.seek(self._head.path)
            self._tell(selected)
            if lockstep.finished:
                self._tell(self._head.stop(why_ended(lockstep), request.id))

    def _quiet(self, request: int) -> None:
        """Pauses, and throws away the steps that were read ahead."""
        with self._lock:
            self._healthy = True
            self._tell(*self._head.rest(request))
            self._ahead.clear()

    def _loaded(self) -> Pair:
        if self._pair is None:
            raise BadInput("No models", "The models are not loaded.", "Choose a model that can be loaded.")
        return self._pair

    def _stepping(self) -> Lockstep:
        if self._lockstep is None:
            raise BadInput("No run", "There is no run yet.", "Wait until both models are ready.")
        return self._lockstep

    def _shown(self) -> ShownRun:
        return ShownRun(self._head.run, self._loaded(), self._stepping(), self._head.branches, self._fingerprint)

    # The thread for long work ---------------------------------------------------------------------------------

    def _rank(self, request: Rank, work: Work) -> None:
        from explorer.sources.ranking import ranked

        found = ranked(self._loaded, request.kind, self._models, work)
        with self._lock:
            self._tell(Explained(self._head.run, 0, 0, found, request=request.id))
