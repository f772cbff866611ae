"""Live models as a source of steps: one thread loads, prunes and measures; the interface only asks and listens.

While nobody waits for a step, the next few are measured ahead, so that a key press shows its step at once. What is
measured ahead is not part of the run until it is released: a fork or a new setting throws it away.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from explorer.sources.ending import why_ended
from explorer.sources.measured import FREELY, Forced, MeasuredPaths, forced_at
from explorer.sources.shown_errors import remember_shown
from explorer.sources.source import Sink, Token
from probes.schema.branches import Branch, Branches
from probes.schema.errors import BadInput, PhierError
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Failed,
    Noticed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.foreign_text import said
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.schema.until import Until, first_met, parse_until
from probes.system.pace import SlowdownWatch
from probes.system.progress import READING_PROMPT, Work

if TYPE_CHECKING:
    from probes.models.prompting import Prompt
    from probes.pair import Pair
    from probes.stepping.lockstep import Lockstep

IMPORTING = "Loading torch and transformers"
READ_AHEAD = 8
"""Steps measured before anybody asks for them."""

Loader = Callable[[Work], "Pair"]
"""Makes the pair, as work that is watched and can be stopped."""


def loader(spec: PairSpec) -> Loader:
    """Loads what a person asked for; torch comes with it, so only when called."""

    def load(work: Work) -> Pair:
        work.tell(IMPORTING)
        from probes.pair import load_pair

        work.check(IMPORTING)
        return load_pair(spec, work)

    return load


class LiveSource:
    """A dense and a pruned model behind the `Source` interface."""

    live = True

    def __init__(self, load: Loader, settings: RunSettings) -> None:
        self._load = load
        self._settings = settings
        self._sink: Sink = lambda _event: None
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.RLock()
        """Guards everything below: the worker and the interface both release steps that were read ahead."""
        self._cancel = threading.Event()
        self._closed = threading.Event()
        self._worker = threading.Thread(target=self._work, name="measuring", daemon=True)
        self._pair: Pair | None = None
        self._lockstep: Lockstep | None = None
        self._prompt: Prompt | None = None
        """What the present run reads; pruning anew measures on the same tokens."""
        self._branches = Branches()
        self._ahead: deque[tuple[StepRecord, float]] = deque()
        self._run = 0
        self._running = False
        self._owed = 0
        """Single steps asked for and not yet released."""
        self._forced: dict[int, Forced] = {}
        """By step, the tokens that this run takes whatever the models choose."""
        self._again = 0
        """Steps that are measured again under another prune setting before the run pauses; 0 for none."""
        self._measured = MeasuredPaths()
        self._until: list[Until] = []
        self._pauses = 0
        """How often a person has paused, so that a run asked for before that is not begun after it."""
        self._limit = 0
        """The step at which a run pauses: the settings' number, or that again where a person goes on."""
        self._pace, self._on_cpu = SlowdownWatch(), False
        self._healthy = True
        """False from a failure until the next command: what failed is not tried again unasked."""

    # What the interface calls ---------------------------------------------------------------------------------

    def open(self, sink: Sink) -> None:
        self._sink = sink
        self._cancel.clear()
        self._commands.put(self._begin)
        if not self._worker.is_alive():
            self._worker.start()

    def close(self) -> None:
        self._closed.set()
        self._cancel.set()
        self._commands.put(lambda: None)
        if self._worker.is_alive():
            self._worker.join(1.0)

    def step(self) -> None:
        with self._lock:
            if self._running:
                return
            self._owed += 1
            if self._ahead:
                self._release()
        self._commands.put(self._recover)

    def run(self, until: Sequence[str] = ()) -> None:
        with self._lock:
            asked = self._pauses

        def resume() -> None:
            with self._lock:
                if asked == self._pauses:
                    self._resume(until)

        self._commands.put(resume)

    def pause(self) -> None:
        with self._lock:
            self._pauses += 1
            self._rest()

    def _rest(self) -> None:
        with self._lock:
            was, self._running, self._owed = self._running, False, 0
            if was:
                self._sink(RunPaused(self._run, Why.ASKED, f"Paused after step {len(self._branches.path())}."))

    def cancel(self) -> None:
        self._cancel.set()

    def fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None:
        self._commands.put(lambda: self._fork(step, dense, pruned))

    def select(self, branch: int) -> None:
        self._commands.put(lambda: self._select(branch))

    def restart(self, settings: RunSettings) -> None:
        self.pause()  # at once: a key that runs or pauses then speaks of the new run
        self._say_at_once(READING_PROMPT)
        self._commands.put(lambda: self._start(settings))

    def prune(self, setting: Setting) -> None:
        self.pause()
        self._say_at_once(f"Pruning by {setting}")
        self._commands.put(lambda: self._prune(setting))

    def _say_at_once(self, task: str) -> None:
        """Shows what was asked for though the step under way comes first; what is cancelled from here on is this."""
        self._cancel.clear()
        if self._pair is not None:
            self._sink(WorkProgressed(task))

    # The measuring thread -------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._closed.is_set():
            try:
                command = self._commands.get(block=not self._busy())
            except queue.Empty:
                command = self._advance
            try:
                if not self._closed.is_set():
                    command()
            except PhierError as problem:
                remember_shown(problem)
                self._fail(problem.title, problem.message, problem.hint)
            except Exception as problem:  # noqa: BLE001 - the one boundary of this thread: a person must hear of it
                remember_shown(problem)
                self._fail("Unexpected error", said(problem), "What was measured is kept.")
        if self._lockstep is not None:
            self._lockstep.close()

    def _fail(self, title: str, message: str, hint: str) -> None:
        with self._lock:
            if self._running:
                self._running = False
                self._sink(RunPaused(self._run, Why.ASKED, f"Stopped after step {len(self._branches.path())}."))
            self._owed = 0
            self._healthy = False
            self._ahead.clear()
            if self._lockstep is not None:
                self._lockstep.seek(self._branches.path())
            self._sink(Failed(title, message, hint))

    def _recover(self) -> None:
        self._healthy = True

    def _busy(self) -> bool:
        """Is there something to measure without being told?"""
        with self._lock:
            if self._lockstep is None:
                return False
            if self._running or self._owed:
                return True
            return self._healthy and len(self._ahead) < READ_AHEAD and not self._lockstep.finished

    def _advance(self) -> None:
        """Releases a step that is wanted, or measures one ahead."""
        lockstep = self._lockstep
        if lockstep is None:
            return
        with self._lock:
            wanted = self._running or self._owed > 0
            if wanted and self._ahead:
                self._release()
                return
            if wanted and lockstep.finished:
                self._end(lockstep)
                return
        begun = time.perf_counter()
        dense, pruned = self._forced.get(len(lockstep.path) + 1, FREELY)
        record = lockstep.step(dense=dense, pruned=pruned)
        seconds = time.perf_counter() - begun
        with self._lock:
            self._ahead.append((record, seconds))
            if (slow := self._pace.add(seconds)) and self._on_cpu:
                self._sink(Noticed("Steps have become slow", slow))

    def _release(self) -> None:
        """Makes the oldest step that was read ahead part of the run; pauses where a condition is met."""
        record, seconds = self._ahead.popleft()
        self._show(record, seconds)
        if self._running:
            path = self._branches.path()
            if reason := first_met(self._until, path):
                self._stop(Why.UNTIL, reason)
            elif len(path) == self._again:
                self._stop(Why.ASKED, f"The same {_steps(len(path))} measured under this setting.")
            elif len(path) >= self._limit:
                more = self._settings.longest
                self._stop(Why.STEPS, f"{len(path)} steps are done; running again goes on for {more} more.")
        else:
            self._owed = max(0, self._owed - 1)
        lockstep = self._lockstep
        if self._running and lockstep is not None and lockstep.finished and not self._ahead:
            self._end(lockstep)

    def _show(self, record: StepRecord, seconds: float) -> None:
        self._branches.add(self._branches.current, record)
        self._sink(StepMeasured(self._run, self._branches.current, record, seconds))

    def _stop(self, why: Why, reason: str) -> None:
        self._running, self._owed = False, 0
        self._sink(RunPaused(self._run, why, reason))

    def _end(self, lockstep: Lockstep) -> None:
        self._stop(*why_ended(lockstep))

    # Commands, on the measuring thread ------------------------------------------------------------------------

    def _begin(self) -> None:
        self._pair = self._load(self._watched())
        self._start(self._settings)

    def _watched(self) -> Work:
        """Work whose progress is an event, and that the interface can stop."""
        return Work(self._sink, self._stopping)

    def _stopping(self) -> bool:
        return self._cancel.is_set() or self._closed.is_set()

    def _start(self, settings: RunSettings, prompt: Prompt | None = None) -> None:
        """A new run, on a prompt that was read before if one is given. If it can't be begun, the old one stays."""
        pair = self._loaded()
        prompt = prompt or pair.prompt(settings)
        lockstep = pair.lockstep(settings, prompt)
        try:
            lockstep.prefill(self._watched())
        except BaseException:
            lockstep.close()
            raise
        self._begin_run(lockstep, settings, prompt)

    def _begin_run(self, lockstep: Lockstep, settings: RunSettings, prompt: Prompt) -> None:
        """Makes a lockstep that stands before its first step the one that is measured."""
        header = self._loaded().header(settings, prompt)
        with self._lock:
            if self._lockstep is not None:
                self._lockstep.close()
            if settings == self._settings and self._prompt is not None and self._prompt.ids != prompt.ids:
                self._measured = MeasuredPaths()  # what it holds was read on another day's prompt
            self._lockstep, self._settings, self._prompt = lockstep, settings, prompt
            self._branches = Branches()
            self._ahead.clear()
            self._forced, self._again = {}, 0
            self._running, self._owed, self._until = False, 0, []
            self._run += 1
            self._pace, self._on_cpu = SlowdownWatch(), header.dense.device == "cpu"
            self._sink(RunStarted(self._run, header))

    def _prune(self, setting: Setting) -> None:
        """Changes the pruned model, then shows as many steps of it as there were, with the tokens that were forced.

        Steps that this setting has measured already are shown at once, all others are measured; a change that comes
        while the steps are measured again has all of them measured too. On any error nothing changes.
        """
        pair = self._loaded()
        path = self._branches.path()
        self._quiet()
        self._measured.keep(pair.made_by, self._settings, path)
        again = max(len(path), self._again)
        forced = self._forced | {record.step: forced_at(record) for record in path}
        before = pair.twin.state if pair.twin is not None else None
        self._pair = pair.repruned(setting, self._watched())
        try:
            known = self._measured.find(self._pair.made_by, self._settings, forced)
            if known:
                prompt = self._prompt or self._pair.prompt(self._settings)
                self._begin_run(self._pair.lockstep(self._settings, prompt), self._settings, prompt)
            else:
                self._start(self._settings, self._prompt)
        except BaseException:
            # The run that is shown goes on, so its caches must be those of the weights that filled them.
            self._pair = pair
            if pair.twin is not None and before is not None:
                pair.twin.set_state(before)
            raise
        with self._lock:
            self._again, self._forced = again, forced
            for record in known:
                self._show(record, 0.0)
        self._stepping().seek(known)
        if len(known) < again:
            self._resume((), least=again)
        elif known:
            with self._lock:
                self._stop(Why.ASKED, f"{_steps(len(known))} measured under this setting before.")

    def _resume(self, until: Sequence[str], least: int = 0) -> None:
        """Goes on to the next multiple of the settings' steps, and to at least so many."""
        lockstep = self._stepping()
        self._recover()
        with self._lock:
            done = len(self._branches.path())
            self._until = [parse_until(text, done) for text in until]
            longest = self._settings.longest
            self._limit = max(least, longest * (done // longest + 1))
            if not self._running:
                self._running = True
                self._sink(RunResumed(self._run, tuple(until)))
            if lockstep.finished and not self._ahead:
                self._end(lockstep)

    def _fork(self, step: int, dense_token: Token | None, pruned_token: Token | None) -> None:
        lockstep = self._stepping()
        path = self._branches.path()
        dense, pruned = self._id_of(dense_token), self._id_of(pruned_token)
        if not 1 <= step <= len(path) + 1 or (dense is None and pruned is None):
            raise BadInput(
                "Fork", f"Step {step} can't be forked: the run has {len(path)} steps.", "Choose one of them."
            )
        same = self._branches.that_takes(step, dense, pruned)
        if same is not None:
            if self._branches[same].step != step:
                said = f"The text takes that token at step {step} already."
                raise BadInput("Fork", said, "Choose another token.")
            if same != self._branches.current:
                self._select(same)
            return  # asked for twice
        self._quiet()
        before = list(path[: step - 1])
        lockstep.seek(before)
        if lockstep.finished:
            raise BadInput("Fork", f"The run has ended before step {step}.", "Choose an earlier step.")
        begun = time.perf_counter()
        record = lockstep.step(dense=dense, pruned=pruned)
        names = {
            "dense": record.taken if dense is not None or lockstep.settings.follow is not Follow.FREE else None,
            "pruned": record.taken_pruned if pruned is not None else None,
        }
        forced = " and ".join(f"{taken.token!r} on {name}" for name, taken in names.items() if taken is not None)
        if not forced:
            ended = f"That text has ended before step {step}."
            raise BadInput("Fork", ended, "Choose the other text, or an earlier step.")
        with self._lock:
            branch = Branch(
                self._branches.next_id(), self._branches.current, step, dense, pruned, f"step {step}: {forced}"
            )
            self._forced, self._again = {}, 0
            self._branches.open(branch)
            self._sink(BranchOpened(self._run, branch))
            self._show(record, time.perf_counter() - begun)

    def _id_of(self, token: Token | None) -> int | None:
        """A token's id. Raises `BadInput` where a text is not one token of the dense model's."""
        if not isinstance(token, str):
            return token
        tokenizer = self._loaded().dense.tokenizer
        ids = tokenizer(token, add_special_tokens=False)["input_ids"]
        if len(ids) != 1:
            pieces = " ".join(f"“{tokenizer.decode([one])}”" for one in ids[:8])
            raise BadInput(
                "Not one token",
                f"“{token}” is {len(ids)} tokens{': ' if ids else ''}{pieces}.",
                "Force the first and fork again; a word within a text begins with its space.",
            )
        return int(ids[0])

    def _select(self, branch: int) -> None:
        lockstep = self._stepping()
        if branch not in {known.id for known in self._branches}:
            raise BadInput("Branch", f"There is no branch {branch}.", "Choose one of the list.")
        self._quiet()
        with self._lock:
            self._again = 0
            self._branches.current = branch
            lockstep.seek(self._branches.path())
            self._sink(BranchSelected(self._run, branch))
            if lockstep.finished:
                self._end(lockstep)

    def _quiet(self) -> None:
        """Pauses, and throws away what was read ahead."""
        self._recover()
        self._rest()
        with self._lock:
            self._ahead.clear()

    def _loaded(self) -> Pair:
        if self._pair is None:
            raise BadInput("No models", "The models are not loaded.", "Choose a model that can be loaded.")
        return self._pair

    def _stepping(self) -> Lockstep:
        if self._lockstep is None:
            raise BadInput("No run", "There is no run yet.", "Wait until both models are ready.")
        return self._lockstep


def _steps(count: int) -> str:
    return f"{count} steps are" if count > 1 else "1 step is"
