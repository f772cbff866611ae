"""A `Source` that needs no models: toy distributions behind the same events, for tests and for work on the screens.

`python -m explorer.cli.toy` opens the explorer on it. It is never shown to people as a real run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from explorer.sources.playhead import Playhead
from explorer.sources.shown_errors import failure_of
from explorer.sources.source import Sink
from explorer.sources.toy.models import ToyPair
from explorer.sources.toy.rendered import toy_prompt_text, toy_rendered
from explorer.sources.toy.step import Accidents, ToyStep
from explorer.sources.toy.tasks import ToyTasks, toy_passages
from explorer.sources.toy.watched import toy_watched_ids
from probes.schema.branches import Branch, Branches
from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.events import Event, Failed, PromptRendered, RunPaused, Why, WorkProgressed
from probes.schema.foreign_text import visible
from probes.schema.header import MatrixReport, ModelInfo, PruneReport, RunHeader
from probes.schema.part import Part
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

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
LOADING = (
    WorkProgressed("Downloading SmolLM2-135M-Instruct", 41_000_000, 112_000_000, "bytes"),
    WorkProgressed("Loading SmolLM2-135M-Instruct", 18, 30, "layers"),
    WorkProgressed("Calibrating wanda:0.5", 2048, 4096, "tokens"),
)


class ToySource:
    """Toy models stepped by rule; every figure follows from the settings and the seed."""

    def __init__(
        self,
        settings: RunSettings | None = None,
        *,
        setting: str = "wanda:0.5",
        loading: Sequence[WorkProgressed] = (),
        accidents: Accidents | None = None,
        pace: float | None = None,
        live: bool = True,
    ) -> None:
        self.settings = settings or RunSettings(QUESTION, follow=Follow.FREE, steps=128)
        self.loading = loading
        self.accidents = accidents or Accidents()
        self.pace = pace
        """Seconds between steps while running; None leaves it to `advance`."""
        self.live = live
        self.asked: list[Request] = []
        """The requests so far, in order: for tests."""
        self.setting = setting
        self._sink: Sink | None = None
        self._pair = ToyPair(damage=_damage(setting))
        self._tasks: dict[str, ToyTasks] = {}
        """The scored items of each setting."""
        self._head = Playhead()
        self._news = threading.Condition(threading.RLock())
        """Guards the playhead."""
        self._closed = threading.Event()

    def open(self, sink: Sink) -> None:
        self._sink = sink
        for work in self.loading:
            self.emit(work)
        self.begin()

    def close(self) -> None:
        self._closed.set()

    def wait_idle(self, seconds: float) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self.pace is None or not self.running, seconds)

    def ask(self, request: Request) -> None:
        self.asked.append(request)
        with self._news:
            try:
                self._answer(request)
            except PhierError as problem:
                self.emit(failure_of(problem, request.id))
            self._news.notify_all()

    def _answer(self, request: Request) -> None:
        head = self._head
        match request:
            case Step():
                if head.step(request) or self.pace is None:
                    self.advance(1)
            case Run():
                self._go(request)
            case Pause():
                self.emit(*head.pause(request.id))
            case Cancel(one) if one and one == self._scored.request:
                self._scored.request = 0
                self.emit(failure_of(Cancelled("Scoring items"), one))
            case Judge():
                self._judge(request)
            case FindPassages(where, order, most):
                self.emit(toy_passages(where, order, most, _damage(self.setting), request.id))
            case Cancel():
                raise Cancelled("Downloading SmolLM2-135M-Instruct")
            case Fork():
                self._fork(request)
            case Select(branch):
                if branch not in head.branches:
                    raise BadInput("Branch", f"There is no branch {branch}.", "Choose one from the list.")
                self.emit(*head.rest(request.id), head.select(branch, request.id))
            case Restart(settings):
                self.emit(*head.pause(request.id))
                toy_watched_ids(self._pair, settings.watch)  # raises for one that can't be watched
                self.settings = settings
                self.begin(request.id)
            case RenderPrompt(settings):
                try:
                    self.emit(PromptRendered(toy_rendered(settings), request=request.id))
                except BadInput as problem:
                    self.emit(PromptRendered(None, f"{problem.message} {problem.hint}", request=request.id))
            case Watch(groups):
                toy_watched_ids(self._pair, groups)
                self.emit(*head.pause(request.id))
                self.settings = replace(self.settings, watch=groups)
                self._again(request.id)
            case Prune(setting):
                self.emit(*head.pause(request.id))
                self._prune(str(setting), request.id)
            case Explain() | FindRepair():
                raise BadInput("Toy models", "Toy models have no layers, so nothing in them explains a step.")
            case _:
                raise BadInput("Toy models", "Toy models can't do this.")

    def _go(self, request: Run) -> None:
        events = self._head.go(request)
        self.emit(*events)
        if events and self.pace is not None:
            threading.Thread(target=self._keep_going, args=(self.pace, request.id), daemon=True).start()

    def _fork(self, request: Fork) -> None:
        head, step = self._head, request.step
        dense, pruned = self._id_of(request.dense), self._id_of(request.pruned)
        if not 1 <= step <= len(head.path) + 1:
            raise BadInput("Fork", f"Step {step} can't be forked: the run has {len(head.path)} steps.")
        token = dense if dense is not None else pruned
        word = visible(self._pair.vocabulary[token]) if token is not None else ""
        label = f"“{word}” forced at {step}"
        branch = Branch(head.branches.next_id(), head.branches.current, step, dense, pruned, label)
        self.emit(*head.rest(request.id), head.open(branch, request.id))
        self.advance(1, request.id)

    def _id_of(self, token: Token | None) -> int | None:
        if not isinstance(token, str):
            return token
        if token not in self._pair.vocabulary:
            raise BadInput("Not one token", f"“{visible(token)}” is no token of toy models.")
        return self._pair.vocabulary.index(token)

    def _prune(self, setting: str, request: int) -> None:
        if left := self._scored.request:
            self._scored.request = 0
            self.emit(Failed("Not all scored", "The pruned model changed before all items were scored.", request=left))
        self.setting = setting
        self._pair = ToyPair(damage=_damage(setting))
        self._again(request)

    def _again(self, request: int) -> None:
        """Begins a new run and measures as many steps as there were."""
        done = max(len(self._head.path), self._head.again)
        self.begin(request)
        if done:
            self._head.again = done
            self._go(Run(id=request))
            if self.pace is None:
                self.advance(done)

    @property
    def _scored(self) -> ToyTasks:
        """The items of the present setting."""
        dense = _header(self.settings, self.setting).dense.name
        new = ToyTasks(dense, f"{dense} {self.setting}", self.setting, _damage(self.setting))
        return self._tasks.setdefault(self.setting, new)

    def _judge(self, request: Judge) -> None:
        scored = self._scored
        self.emit(*scored.begin(request))
        if scored.request and self.pace is not None:
            threading.Thread(target=self._keep_scoring, args=(self.pace, request.id), daemon=True).start()

    def _keep_scoring(self, pace: float, request: int) -> None:
        while not self._closed.wait(pace):
            with self._news:
                if self._scored.request != request:
                    return
                self.score(1)

    # For tests besides.

    def score(self, items: int = 1000) -> None:
        """Scores so many items of the tasks that are judged."""
        with self._news:
            scored = self._scored
            if scored.request:
                self.emit(*scored.score(items))

    @property
    def running(self) -> bool:
        return self._head.running

    def begin(self, request: int = 0) -> None:
        with self._news:
            self.emit(self._head.start(_header(self.settings, self.setting), request))

    def emit(self, *events: Event) -> None:
        for event in events:
            if self._sink is not None:
                self._sink(event)

    def advance(self, steps: int, request: int | None = None) -> None:
        """Measures that many steps at once, stopping where a run would."""
        head = self._head
        with self._news:
            for _ in range(steps):
                record = self._next(head.branches)
                if record is None:
                    self.emit(head.stop(Why.ENDED, request))
                    return
                events = head.take(record, 0.1, request=request)
                self.emit(*events)
                if any(isinstance(event, RunPaused) for event in events):
                    return
                if record.invalid is not None:
                    self.emit(head.stop(RunPaused(0, Why.INVALID, invalid=record.invalid), request))
                    return

    def records(self, steps: int) -> list[StepRecord]:
        """The first steps of a fresh run, without any event."""
        branches = Branches()
        for _ in range(steps):
            record = self._next(branches)
            if record is None:
                break
            branches.add(0, record)
        return list(branches.path())

    def _keep_going(self, pace: float, request: int) -> None:
        while not self._closed.wait(pace):
            with self._news:
                if not self.running or self._head.answering != request:
                    return
                self.advance(1)
                self._news.notify_all()

    # The stepping itself.

    def _next(self, branches: Branches) -> StepRecord | None:
        path = branches.path()
        branch = branches[branches.current]
        forced = branch if len(path) + 1 == branch.step and branch.parent is not None else None
        return ToyStep(self._pair, self.settings, self.accidents, path, forced).record()


def _damage(setting: str) -> float:
    """The amount in a prune setting; a default if it has none."""
    amounts: Iterator[float] = (float(part) for part in setting.replace("@", ":").split(":") if _is_number(part))
    return min(1.0, next(amounts, 0.4))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


SHAPES = {
    "attn.q_proj": (576, 576),
    "attn.k_proj": (192, 576),
    "attn.v_proj": (192, 576),
    "attn.o_proj": (576, 576),
    "mlp.gate_proj": (1536, 576),
    "mlp.up_proj": (1536, 576),
    "mlp.down_proj": (576, 1536),
}
LAYERS = 30


def _report(setting: str) -> PruneReport:
    """An invented report on a setting, matrix by matrix: toy models have no such matrices."""
    from probes.schema.prune_setting import FittedShare, Method, Ratio, parse

    zeros: dict[str, float] = {}
    targeted: set[str] = set()
    dropped: list[Part] = []
    try:
        parts = parse(setting).parts
    except BadInput:  # a script may name any setting
        return PruneReport(setting=setting, zeroed=0, targeted=0)
    for part in parts:
        named = {
            _name(layer, shape): (layer, shape.split(".")[0])
            for layer in range(LAYERS)
            for shape in SHAPES
            if part.targets.has(_name(layer, shape), layer, shape.split(".")[0])
        }
        if part.method.drops:
            layers = range(LAYERS - 2, LAYERS) if part.targets.layers is None else part.targets.layers
            dropped += [Part(part.method.dropped_kind, layer) for layer in layers]
        elif part.method is Method.DENSE:
            zeros = {name: share for name, share in zeros.items() if name not in named}
            dropped = [gone for gone in dropped if gone not in {Part(kind, layer) for layer, kind in named.values()}]
        elif isinstance(part.amount, FittedShare):
            zeros |= {name: zeros[name] * (1 - part.amount.value) for name in named if name in zeros}
        elif not part.method.structured:
            targeted |= named.keys()
            zeros |= dict.fromkeys(named, part.amount.value if isinstance(part.amount, Ratio) else 0.5)
    matrices = tuple(
        MatrixReport(
            _name(layer, shape), layer, shape.split(".")[0], r, c, round(r * c * zeros.get(_name(layer, shape), 0))
        )
        for layer in range(LAYERS)
        for shape, (r, c) in SHAPES.items()
        if Part(shape.split(".")[0], layer) not in dropped
    )
    return PruneReport(
        setting=setting,
        zeroed=sum(matrix.zeros for matrix in matrices),
        targeted=sum(m.rows * m.columns for m in matrices if m.name in targeted),
        dropped=tuple(map(str, dropped)),
        mask_hash="3f9c",
        matrices=matrices,
    )


def _name(layer: int, shape: str) -> str:
    return f"model.layers.{layer}.{shape.replace('attn', 'self_attn')}"


def _header(settings: RunSettings, setting: str) -> RunHeader:
    dense = ModelInfo(
        name="SmolLM2-135M-Instruct",
        spec="demo",
        revision="",
        fingerprint="",
        architecture="LlamaForCausalLM",
        layers=30,
        hidden=576,
        vocabulary=49152,
        parameters=134_515_008,
        dtype="float32",
        device="cpu",
    )
    report = _report(setting)
    return RunHeader(
        dense=dense,
        pruned=replace(dense, name=f"{dense.name} {setting}"),
        prune=report,
        settings=settings,
        prompt_text=toy_prompt_text(settings),
        started="2026-01-01T00:00:00Z",
    )
