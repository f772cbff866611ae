"""A `Source` that needs no models: toy distributions behind the same events, for tests and for work on the screens.

`python -m explorer.cli.toy` opens the explorer on it. It is never shown to people as a real run.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

from explorer.sources.source import Sink, Token
from explorer.sources.toy.models import ToyPair
from explorer.sources.toy.step import Accidents, ToyStep
from probes.schema.branches import Branch, Branches
from probes.schema.errors import BadInput
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Event,
    Failed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.foreign_text import visible
from probes.schema.header import MatrixReport, ModelInfo, PruneReport, RunHeader
from probes.schema.part import Part
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.until import Until, first_met, parse_until

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
LOADING = (
    WorkProgressed("Fetching SmolLM2-135M-Instruct", 41_000_000, 112_000_000, "bytes"),
    WorkProgressed("Loading SmolLM2-135M-Instruct", 18, 30, "layers"),
    WorkProgressed("Calibrating wanda:0.5", 2048, 4096, "tokens"),
)


class ToySource:
    """Toy models stepped by rule; every figure follows from the settings and the seed."""

    live = True

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
        self.asked: list[str] = []
        """What the interface asked for, in order: for tests."""
        self.setting = setting
        self.running = False
        self._sink: Sink | None = None
        self._run = 0
        self._pair = ToyPair(damage=_damage(setting))
        self._branches = Branches()
        self._until: list[Until] = []
        self._again = 0
        """Steps that are measured again under another setting."""
        self._lock = threading.RLock()
        self._closed = threading.Event()

    # What the app asks.

    def open(self, sink: Sink) -> None:
        self._sink = sink
        for work in self.loading:
            self.emit(work)
        self.begin()

    def close(self) -> None:
        self._closed.set()

    def step(self) -> None:
        self.asked.append("step")
        self.advance(1)

    def run(self, until: Sequence[str] = ()) -> None:
        self.asked.append(f"run {' '.join(until)}".strip())
        self._resume(until)

    def _resume(self, until: Sequence[str]) -> None:
        try:
            self._until = [parse_until(text, len(self._branches.path())) for text in until]
        except BadInput as problem:
            self.emit(Failed(problem.title, problem.message, problem.hint))
            return
        self.running = True
        self.emit(RunResumed(self._run))
        if self.pace is not None:
            threading.Thread(target=self._keep_going, args=(self.pace,), daemon=True).start()

    def pause(self) -> None:
        self.asked.append("pause")
        if self.running:
            self._stop(Why.ASKED, "")

    def cancel(self) -> None:
        self.asked.append("cancel")
        self.emit(Failed("Cancelled", "Fetching SmolLM2-135M-Instruct was cancelled."))

    def fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None:
        self.asked.append(f"fork {step} dense={dense} pruned={pruned}")
        dense, pruned = self._id_of(dense), self._id_of(pruned)
        with self._lock:
            self.running = False
            token = dense if dense is not None else pruned
            word = visible(self._pair.vocabulary[token]) if token is not None else ""
            branch = Branch(
                self._branches.next_id(),
                self._branches.current,
                step,
                dense,
                pruned,
                f"“{word}” forced at {step}",
            )
            self._branches.open(branch)
            self.emit(BranchOpened(self._run, branch))
            self.advance(1)

    def _id_of(self, token: Token | None) -> int | None:
        return self._pair.vocabulary.index(token) if isinstance(token, str) else token

    def select(self, branch: int) -> None:
        self.asked.append(f"select {branch}")
        with self._lock:
            self.running = False
            self._branches.current = branch
            self.emit(BranchSelected(self._run, branch))

    def restart(self, settings: RunSettings) -> None:
        self.asked.append("restart")
        self.settings = settings
        self.begin()

    def prune(self, setting: Setting) -> None:
        self.asked.append(f"prune {setting}")
        self.setting = str(setting)
        self._pair = ToyPair(damage=_damage(self.setting))
        done = max(len(self._branches.path()), self._again)
        self.begin()
        if done:
            self._again = done
            self._resume(())
            if self.pace is None:
                self.advance(done)

    # What tests ask besides.

    def begin(self) -> None:
        with self._lock:
            self.running = False
            self._run += 1
            self._again = 0
            self._branches = Branches()
            self.emit(RunStarted(self._run, _header(self.settings, self.setting)))

    def emit(self, event: Event) -> None:
        if self._sink is not None:
            self._sink(event)

    def advance(self, steps: int) -> None:
        """Measures that many steps at once, stopping where a run would."""
        with self._lock:
            for _ in range(steps):
                record = self._next()
                if record is None:
                    self._stop(Why.ENDED, "Both texts have ended.")
                    return
                current = self._branches.current
                self._branches.add(current, record)
                self.emit(StepMeasured(self._run, current, record, 0.1))
                path = self._branches.path()
                if reason := first_met(self._until, path) if self.running else "":
                    self._stop(Why.UNTIL, reason)
                elif self.running and len(path) == self._again:
                    self._stop(Why.ASKED, f"The same {len(path)} steps are measured under this setting.")
                elif len(path) >= self.settings.longest:
                    self._stop(Why.STEPS, f"The limit of {self.settings.longest} steps is reached.")
                elif record.invalid is not None:
                    self._stop(Why.INVALID, f"The {record.invalid.model} model computed NaN at step {record.step}.")
                else:
                    continue
                return

    def records(self, steps: int) -> list[StepRecord]:
        """The first steps of a fresh run, without any event."""
        self._branches = Branches()
        for _ in range(steps):
            record = self._next()
            if record is None:
                break
            self._branches.add(0, record)
        return list(self._branches.path())

    def _stop(self, why: Why, reason: str) -> None:
        self.running = False
        self.emit(RunPaused(self._run, why, reason))

    def _keep_going(self, pace: float) -> None:
        while self.running and not self._closed.wait(pace):
            with self._lock:
                if self.running:
                    self.advance(1)

    # The stepping itself.

    def _next(self) -> StepRecord | None:
        path = self._branches.path()
        branch = self._branches[self._branches.current]
        forced = branch if len(path) + 1 == branch.step and branch.parent is not None else None
        return ToyStep(self._pair, self.settings, self.accidents, path, forced).record()


def _damage(setting: str) -> float:
    """The amount in a prune setting, or some of it where it has none."""
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
    """What a setting would leave, matrix by matrix, had there been matrices."""
    from probes.schema.prune_setting import Method, Ratio, parse

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
        prompt_text=f"<|im_start|>user\n{settings.prompt}<|im_end|>\n<|im_start|>assistant\n",
        started="2026-01-01T00:00:00Z",
    )
