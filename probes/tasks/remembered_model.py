"""The dense model of a sweep: what it was asked before it answers without a pass, bit for bit.

Logits are made again from the remembered state that entered the LM head, by the model's own forward method around a
body that returns that state: so whatever an architecture does after its head, a soft-cap for instance, is done. Each
state is proven so when it is remembered. If something is not known, the cache lacks what was answered from memory, so
those calls are done first, in their order: the bits are those of a model that remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from probes.models.hooks import Forward, replacing_forward
from probes.stepping.cached_model import CachedModel, Context, NextTokenOutput
from probes.system.progress import UNWATCHED, Work
from probes.tasks.dense_side import START, DenseSide, after

R = TypeVar("R")


class RememberedModel(CachedModel):
    """A `CachedModel` that remembers its answers in a `DenseSide`."""

    def __init__(self, model: PreTrainedModel, side: DenseSide, lane: int = 0) -> None:
        super().__init__(model, lane)
        self._side = side
        bodies = {id(model.base_model), id(model.get_decoder())} - {id(model)}
        self._bodies = [path for path, module in model.named_modules() if id(module) in bodies]
        self._start()

    def _start(self) -> None:
        self._place = START
        self._call: object = None
        self._skipped: list[Callable[[], object]] = []
        """The calls that were answered from memory since the cache was emptied."""

    def forget(self) -> None:
        """Empties the cache; what is remembered stays."""
        super().forget()
        self._start()

    def apart(self) -> RememberedModel:
        """Another one of the same model, which has read the same and shares what is remembered."""
        self._really(lambda: None)
        other = super().apart()
        assert isinstance(other, RememberedModel)
        other._skipped = []
        return other

    def memory(self, context: Context) -> DynamicCache:
        """See `CachedModel`. It is not remembered."""
        self._place, self._call = after(self._place, "memory", [context]), None
        return self._really(partial(super().memory, context))

    def states(self, context: Context, work: Work = UNWATCHED) -> Tensor:
        """See `CachedModel`. They are not remembered."""
        self.forget()
        self._place = after(START, "states", [context])
        return self._really(partial(super().states, context, work))

    def read(self, contexts: Sequence[Context], work: Work = UNWATCHED) -> NextTokenOutput:
        """See `CachedModel`."""
        contexts = _copied(contexts)
        return self._output(contexts, 1, partial(super().read, contexts, work))

    def read_last(self, contexts: Sequence[Context], positions: int, work: Work = UNWATCHED) -> NextTokenOutput:
        """See `CachedModel`."""
        contexts = _copied(contexts)
        return self._output(contexts, positions, partial(super().read_last, contexts, positions, work))

    def mean_state(self, context: Context, start: int, work: Work = UNWATCHED) -> Tensor:
        """See `CachedModel`."""
        self.forget()
        real = partial(super().mean_state, context, start, work)
        place = self._place = after(START, f"mean state from {start}", [context])
        known = self._side.state(place)
        if known is None:
            known = self._really(real)
            self.join()
            self._side.add(place, known)
        else:
            self._skipped.append(real)
        return known.clone()

    def first_nonfinite(self, contexts: Sequence[Context]) -> str:
        """See `CachedModel`."""
        self.forget()
        real = partial(super().first_nonfinite, contexts)
        place = self._place = after(START, "first not finite", contexts)
        known = self._side.sentence(place)
        if known is None:
            known = self._really(real)
            self._side.add(place, known)
        else:
            self._skipped.append(real)
        return known

    def _output(
        self, contexts: Sequence[Context], positions: int, real: Callable[[], NextTokenOutput]
    ) -> NextTokenOutput:
        call = positions, contexts
        # Reading the same again feeds the same tokens to the same cache, unless it can't be cropped.
        repeated = call == self._call and not self._recurrent
        if not repeated:
            self._place, self._call = after(self._place, f"last {positions}", contexts), call
        place, rows = self._place, len(contexts)
        # A recurrent model reads whole contexts, and its head gets their ends.
        length = len(contexts[0]) if self._recurrent and positions > 1 else positions
        known = self._side.state(place)
        if known is not None:
            if not repeated:
                self._skipped.append(real)
            hidden = known.to(self.device, copy=True)
            return NextTokenOutput(hidden, self._logits(hidden, rows, length))
        found = self._really(real)
        self.join()
        hidden = found.hidden.to(self.device, copy=True)
        if _same_bits(self._logits(hidden, rows, length), found.logits):
            self._side.add(place, hidden)
        else:
            self._side.unproven += 1
        return found

    def _really(self, real: Callable[[], R]) -> R:
        """Has the model do what it was not asked to do yet, and this."""
        try:
            skipped, self._skipped = self._skipped, []
            for call in skipped:
                call()
            return real()
        except BaseException:
            self.forget()
            raise

    @torch.inference_mode()
    def _logits(self, hidden: Tensor, rows: int, length: int) -> Tensor:
        """The logits that the model makes of states, (rows × positions, d), at its LM head: (rows × positions, V).

        The states lie in memory as the last ones of `length` tokens, which a kernel's last bits can depend on.
        """
        ends = hidden.unflatten(0, (rows, -1))
        states = ends.new_zeros(rows, length, ends.shape[2])[:, -ends.shape[1] :].copy_(ends)

        def given(_forward: Forward) -> Forward:
            return lambda *_args, **_named: _BodyOutput((states,))

        ids = torch.zeros(states.shape[:2], dtype=torch.long, device=self.device)
        with replacing_forward(self.model, dict.fromkeys(self._bodies, given)):
            logits: Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits.flatten(0, 1)


def _copied(contexts: Sequence[Context]) -> list[list[int]]:
    """The contexts as they are now: a call that is done later must not read what was appended to them meanwhile."""
    return [list(context) for context in contexts]


class _BodyOutput(tuple[Tensor]):
    """What the body of any model returns, but for the state without a value."""

    @property
    def last_hidden_state(self) -> Tensor:
        return self[0]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _same_bits(a: Tensor, b: Tensor) -> bool:
    """True of equal NaNs too."""
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    return torch.equal(*(one.contiguous().view(torch.uint8) for one in (a, b)))
