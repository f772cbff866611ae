"""One model with its KV cache, which gives its output after a context.

A `CachedModel` is given contexts to read and does the least work that gets there: it keeps what the cache already
holds of them, crops the rest, fills in what is missing and feeds the last token alone. Stepping, stepping back,
forking and changing branches are therefore all the same call. The last token is always fed alone, so that a step has
the same shapes however it was reached, and cropping back to it gives bit-identical logits. Where several tokens were
missing, as on another branch, they are read in one piece: other shapes, which can move a logit's last bits. Where the
tokens to come are known, `read_last` gives the outputs after several of them (`text_pieces`).

`start` begins a reading whose result is taken later. Here it reads at once; the models of `overlap` read meanwhile.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from probes.models.devices import input_device
from probes.models.hooks import Call, Stop, entering, leaving, until_stop
from probes.models.kv_cache import cache_name, is_recurrent, new_cache, same_cache
from probes.models.rotary import Rotary
from probes.schema.errors import Failure
from probes.stepping.short_pass import ShortPass
from probes.system.float64 import to_float64
from probes.system.memory import ran_out
from probes.system.progress import READING_PROMPT, UNWATCHED, Work

Context = Sequence[int]
FILL = 512
"""Tokens that a prefill feeds at once, so that it can be cancelled and needs bounded memory; recurrent models get
all."""


@dataclass(frozen=True)
class NextTokenOutput:
    """A model's output for the next token, with one row for each context, or for each of its last positions."""

    hidden: Tensor
    """(rows, d): the state that enters the LM head."""
    logits: Tensor
    """(rows, V): the model's own output."""

    @cached_property
    def finite(self) -> bool:
        ends = [end for values in (self.logits, self.hidden) for end in values.aminmax()]  # a NaN is both
        return bool(torch.isfinite(torch.stack(ends)).all())

    def rows(self, start: int, end: int) -> NextTokenOutput:
        """Some of the rows."""
        return NextTokenOutput(self.hidden[start:end], self.logits[start:end])

    def over(self, vocabulary: int, device: torch.device) -> NextTokenOutput:
        """The same on a device, with the logits of the ids below `vocabulary` alone."""
        return NextTokenOutput(self.hidden.to(device), self.logits[:, :vocabulary].to(device))


class CacheLost(Failure):
    """Both models must read again before they go on (`CachedModel.lost`)."""

    def __init__(self, why: str) -> None:
        super().__init__("Read again", why, "Ask again: both models read it again then.")


class Reading(Protocol):
    """A reading that was started. Its result is taken, or it is abandoned."""

    def result(self) -> NextTokenOutput:
        """Waits for the output. Raises what reading raised."""

    def abandon(self) -> None:
        """Stops the reading if it goes on, and waits until the model is free. Without effect after `result`."""


@dataclass(frozen=True, slots=True)
class Done:
    """A reading that has ended."""

    output: NextTokenOutput

    def result(self) -> NextTokenOutput:
        return self.output

    def abandon(self) -> None:
        return


@dataclass(slots=True)
class Held:
    """What a model has read."""

    rows: list[list[int]]
    """The tokens of each context."""
    cache: DynamicCache
    """What they left behind."""
    scale: tuple[int, ...] = ()
    """The rotary factors with which they were read (`Rotary.scale`)."""

    def apart(self) -> Held:
        """The same, to go on from: what is read with one of them does not change the other."""
        return Held([list(row) for row in self.rows], same_cache(self.cache), self.scale)


class Forwarding:
    """Runs a model on tokens, with a cache."""

    def __init__(self, model: PreTrainedModel, head: nn.Module) -> None:
        accepted = inspect.signature(model.forward).parameters
        self._model, self._head = model, head
        self._cache_name = cache_name(model)
        self.takes_positions = "position_ids" in accepted
        self._keeps_last = "logits_to_keep" in accepted

    def __call__(self, ids: Tensor, positions: Tensor, cache: Cache, keep: int = 1) -> tuple[Tensor, Tensor]:
        """What enters the LM head, (rows, tokens, d), for ids at positions, (rows, tokens) each; and the logits of the
        last `keep` of them, (rows, keep or more, V). With 0 the LM head does not run, and there are none."""
        extra: dict[str, object] = {self._cache_name: cache}
        if self.takes_positions:
            extra["position_ids"] = positions
        if self._keeps_last:
            extra["logits_to_keep"] = keep
        hidden: list[Tensor] = []

        def capture(_path: str, call: Call) -> None:
            hidden[:] = [call.hidden]
            if not keep:
                raise Stop

        logits = None
        with until_stop(), entering(self._head, [""], capture, idle=True):
            logits = self._model(input_ids=ids, use_cache=True, **extra).logits
        if not hidden:
            raise Failure("Hidden state", f"{type(self._model).__name__} never ran its LM head, so h can't be read.")
        return hidden[0], hidden[0][..., :0] if logits is None else logits


class CachedModel:
    """A causal language model with the KV cache of one or more contexts of equal length.

    On a GPU, those of different `lane` compute at once.
    """

    _helper: ThreadPoolExecutor | None = None
    """A thread that is idle while this model still reads several contexts."""

    def __init__(self, model: PreTrainedModel, lane: int = 0) -> None:
        self.device = input_device(model)
        head = self.use(model)
        self._recurrent = is_recurrent(model)
        self._rotary = Rotary(model)
        embeddings = next(model.get_input_embeddings().parameters())
        given = getattr(head, "out_features", None) or next(head.parameters()).shape[0]
        self.vocabulary = min(int(embeddings.shape[0]), int(given))
        """Tokens that the model can both read and give logits for: the ids below it."""
        self._stream = _streams(self.device)[lane] if self.device.type == "cuda" else None
        self._hidden: Tensor | None = None
        self._held = self._nothing()

    def use(self, model: PreTrainedModel) -> nn.Module:
        """Reads with this model from now on, whose cache is the same. Returns its LM head; raises `Failure` if it has
        none."""
        head = model.get_output_embeddings()
        if not isinstance(head, nn.Module):
            raise Failure("No LM head", f"{type(model).__name__} has no output embeddings to read the hidden state at.")
        self.model = model
        self._forward = Forwarding(model, head)
        self.short = ShortPass(model, self._forward, self.device, self._helper)
        return head

    def forget(self) -> None:
        """Empties the cache."""
        self._empty()

    def apart(self) -> CachedModel:
        """Another one of the same model, which has read the same; what either of them reads, the other has not."""
        other = copy.copy(self)
        other._held = self._held.apart()
        return other

    @property
    def lost(self) -> bool:
        """Has what was read been lost? It can then only be forgotten (`forget`), and read again."""
        return False

    def take_news(self) -> str:
        """A sentence, once, if it now computes in another way; otherwise ""."""
        return ""

    def stepping(self, rows: int) -> AbstractContextManager[None]:  # noqa: ARG002 - only some ways ask
        """In its block, a step starts this reading and that of the other model, which reads so many contexts, and takes
        both results."""
        return nullcontext()

    @property
    def takes_pieces(self) -> bool:
        """Does reading several positions at once cost less, and are they those of reading each alone?"""
        return not self._recurrent and not self._rotary

    def start(self, contexts: Sequence[Context], work: Work = UNWATCHED, positions: int = 1) -> Reading:
        """Begins to `read`, or to `read_last` several positions; the contexts must stay as they are, and the model
        unused, until it has ended."""
        return Done(self.read_some(contexts, work, positions))

    def read_some(self, contexts: Sequence[Context], work: Work, positions: int) -> NextTokenOutput:
        """`read` for one position, `read_last` for more."""
        return self.read(contexts, work) if positions == 1 else self.read_last(contexts, positions, work)

    @torch.inference_mode()
    def read(self, contexts: Sequence[Context], work: Work = UNWATCHED) -> NextTokenOutput:
        """The output after each context. The contexts have one length, of at least one token.

        On a GPU it may still be computing: `join` before anything is done with the output. `work` hears of a prefill's
        progress, in tokens. Raises `Cancelled`, or `Failure` if memory runs out; it can be used again after both.
        """
        return self._read(contexts, work)

    @torch.inference_mode()
    def read_last(self, contexts: Sequence[Context], positions: int, work: Work = UNWATCHED) -> NextTokenOutput:
        """The outputs after each of the last positions of contexts of one length: one row for each position of the
        first context, then of the others.

        The positions are read in one piece, and the logits of all of them are in memory. A recurrent model reads the
        whole contexts again; a model whose rotary factors change between the positions reads each one alone. For the
        rest see `read`.
        """
        length = len(contexts[0])
        first = length - positions + 1
        if not 1 <= positions <= length:
            raise ValueError(f"{positions} positions of {length} can't be read")
        if positions == 1 or self._rotary.scale(first) != self._rotary.scale(length):
            ends = range(first, length + 1)
            found = [self._read([context[:end] for context in contexts], work) for end in ends]
            with self._on_stream():
                hidden = torch.stack([one.hidden for one in found], 1)
                logits = torch.stack([one.logits for one in found], 1)
                return NextTokenOutput(hidden.flatten(0, 1), logits.flatten(0, 1))
        with self._reading(contexts):
            if self._recurrent:
                self._empty()
                self._held.rows, self._held.scale = [[] for _ in contexts], self._rotary.scale(length)
                logits = self._feed(contexts, 0, length, positions)
            else:
                self._fill([context[:first] for context in contexts], work, length)
                logits = self._feed(contexts, first - 1, length, positions)
            assert self._hidden is not None
            hidden = self._hidden[:, -positions:].to(logits.device)
            return NextTokenOutput(hidden.flatten(0, 1), logits[:, -positions:].flatten(0, 1))

    @torch.inference_mode()
    def states(self, context: Context, work: Work = UNWATCHED) -> Tensor:
        """The state that enters the LM head at each token of a context, (tokens, d), without the head's own work.

        What the cache holds is read again, so the states depend on the context alone. For the rest see `read`.
        """
        return self._states(context, work)

    @torch.inference_mode()
    def mean_state(self, context: Context, start: int, work: Work = UNWATCHED) -> Tensor:
        """The mean of `states` from the token `start` on, (d,), in float64. On a GPU it may still be computing."""
        states = self._states(context, work)
        with self._on_stream():
            return to_float64(states[start:]).mean(0)

    @torch.inference_mode()
    def memory(self, context: Context) -> DynamicCache:
        """The cache that the last token of a context is read with: that of all tokens before it.

        Reading more leaves it as it is. Raises `Failure` if memory runs out.
        """
        with self._reading([context]):
            self._fill([context])
            return same_cache(self._held.cache)

    def read_on(self, contexts: Sequence[Context], cache: DynamicCache, *, gradient: bool = False) -> NextTokenOutput:
        """The output after contexts whose tokens but the last are in another cache, one row for each. It is used up.

        The own cache is left as it is. With `gradient`, the output has one with respect to the cache's tensors.
        """
        other = copy.copy(self)
        rows = [list(context[:-1]) for context in contexts]
        other._held = Held(rows, cache, self._rotary.scale(len(contexts[0])))
        with torch.inference_mode(not gradient), torch.set_grad_enabled(gradient):
            return other._read(contexts)

    def join(self) -> None:
        """On a GPU, whatever is started from here on waits there for what has been read here; nobody waits here."""
        if self._stream is not None:
            torch.cuda.current_stream(self.device).wait_stream(self._stream)

    @torch.inference_mode()
    def first_nonfinite(self, contexts: Sequence[Context]) -> str:
        """The first module, in the order of the forward pass, whose output is not finite; "" if all are finite."""
        found: list[str] = []

        def look(path: str, _call: Call, output: object) -> None:
            value = output[0] if isinstance(output, tuple) and output else output
            if not found and isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
                found.append(path)

        self._empty()
        with leaving(self.model, [path for path, _ in self.model.named_modules() if path], look, idle=True):
            self._read(contexts)
        return found[0] if found else ""

    def _read(self, contexts: Sequence[Context], work: Work = UNWATCHED) -> NextTokenOutput:
        length = len(contexts[0])
        with self._reading(contexts):
            self._fill(contexts, work)
            logits = self._feed(contexts, length - 1, length)
            assert self._hidden is not None
            # In a model on several devices, the logits may be on another device than the last block's output.
            return NextTokenOutput(self._hidden[:, -1].to(logits.device), logits[:, -1])

    def _states(self, context: Context, work: Work) -> Tensor:
        length, found = len(context), []
        self._empty()
        self._held.scale = self._rotary.scale(length)
        with self._reading([context]):
            fill = length if self._recurrent else FILL
            for start in range(0, length, fill):
                work.check(READING_PROMPT)
                self._feed([context], start, min(start + fill, length), 0)
                assert self._hidden is not None
                found.append(self._hidden[0])
            return torch.cat(found)

    @contextmanager
    def _reading(self, contexts: Sequence[Context]) -> Iterator[None]:
        length = len(contexts[0])
        if not length or any(len(context) != length for context in contexts):
            raise ValueError("contexts of one length, of at least one token, are read together")
        try:
            with self._on_stream(), self._rotary.at_length(length) if self._rotary else nullcontext():
                yield
        except torch.OutOfMemoryError as problem:
            self._empty()
            message = ran_out(problem)
            raise Failure(
                "Out of memory",
                f"Reading {len(contexts)} × {length} tokens needed more memory than {self.device} has: {message}",
                "Use a smaller dtype (--dtype bfloat16), spread the model (--device-map auto), or a shorter prompt.",
            ) from problem
        except BaseException:
            self._empty()
            raise

    def _nothing(self) -> Held:
        return Held([[]], new_cache(self.model))

    def _empty(self) -> None:
        self._held = self._nothing()

    def _fill(self, contexts: Sequence[Context], work: Work = UNWATCHED, total: int | None = None) -> None:
        """Reads all tokens but the last that the cache does not hold."""
        length = len(contexts[0])
        held = self._hold(contexts)
        fill = length if self._recurrent else FILL
        for start in range(held, length - 1, fill):
            work.check(READING_PROMPT)
            self._feed(contexts, start, min(start + fill, length - 1), 0)
            work.report(READING_PROMPT, min(start + fill, length - 1), total or length, "tokens")

    def _hold(self, contexts: Sequence[Context]) -> int:
        """Crops the cache to the longest beginning of the contexts that it can keep, and returns its length."""
        scale = self._rotary.scale(len(contexts[0]))
        if scale != self._held.scale:
            self._empty()  # its keys have the rotary factors of another length
        held = self._held
        want = [list(context[:-1]) for context in contexts]
        same_rows = len(held.rows) == len(want)
        keep = min(_shared(held.rows[i if same_rows else 0], row) for i, row in enumerate(want))
        surplus = len(held.rows[0]) - keep
        if self._recurrent and (surplus or not same_rows or keep < len(want[0])):
            keep = 0  # such a state can't be cropped or copied, and some models update it only one token at a time
        elif surplus:
            held.cache.crop(-surplus)
        if keep == 0:
            self._held = held = self._nothing()
        elif not same_rows:
            if len(held.rows) > 1:
                held.cache.batch_select_indices(torch.tensor([0], device=self.device))
            if len(want) > 1:
                held.cache.batch_repeat_interleave(len(want))
        held.rows, held.scale = [row[:keep] for row in want], scale
        return keep

    def _feed(self, contexts: Sequence[Context], start: int, end: int, keep: int = 1) -> Tensor:
        """Reads a piece; returns the logits of its last `keep` tokens, (rows, keep or more, V). With 0 the LM head does
        not run, and `_hidden` has the states of all tokens."""
        held = self._held
        self._hidden = None
        if end - start == keep == 1:
            last = [context[start] for context in contexts]
            self._hidden, logits = self.short.read(last, start, held.cache)
        else:
            ids = torch.tensor([list(context[start:end]) for context in contexts], device=self.device)
            positions = torch.arange(start, end, device=self.device).expand(len(contexts), -1)
            self._hidden, logits = self._forward(ids, positions, held.cache, keep)
        for row, context in zip(held.rows, contexts, strict=True):
            row.extend(context[start:end])
        return logits

    def _on_stream(self) -> AbstractContextManager[object]:
        if self._stream is None:
            return nullcontext()
        self._stream.wait_stream(torch.cuda.current_stream(self.device))
        return torch.cuda.stream(self._stream)


@cache
def _streams(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
    """One stream for each lane, made once: each has a workspace, and memory freed on a stream is reused on that stream
    only."""
    return torch.cuda.Stream(device), torch.cuda.Stream(device)


def _shared(a: Context, b: Context) -> int:
    """Length of the longest common beginning."""
    size = min(len(a), len(b))
    if a[:size] == b[:size]:
        return size
    return next(i for i in range(size) if a[i] != b[i])
