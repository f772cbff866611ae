"""Steps a dense and a pruned model in lockstep and records what differs.

Each step runs both models on their contexts, compares them in the three spaces, lets both choose a token with shared
randomness, and appends the token of the followed context. In `free`, once the contexts have diverged, the pruned model
reads both in a batch of two. This separates the effect of pruning on the shared (dense) context from the effect of the
diverged contexts. In `text` all tokens are known, so many are read at once (`text_pieces`). How both models read is in
`reading_both`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from torch import Tensor
from transformers import PreTrainedModel

from probes.schema.errors import BadInput
from probes.schema.record import Choice, Comparison, Invalid, Side, StepRecord, Taken
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import Accumulator
from probes.schema.watch import WatchedIds
from probes.stepping.cached_model import CachedModel, NextTokenOutput
from probes.stepping.distribution import Distribution
from probes.stepping.reading_both import BothModels, Outputs
from probes.stepping.sampling import Sampler
from probes.stepping.spaces import compare
from probes.stepping.sums import new_scratch
from probes.stepping.text_pieces import ReadPiece, piece_of
from probes.system.progress import UNWATCHED, Work

SHARED_TOP = 5
"""How many of each model's likeliest tokens are kept for the shared context; few, so that a step stays small."""


class Stream(Protocol):
    """Decodes token ids one by one."""

    def push(self, token_id: int) -> str:
        """The text that this token adds; "" while a character is incomplete."""


class Tokens(Protocol):
    """A tokenizer, as far as stepping needs it."""

    def piece(self, token_id: int) -> str:
        """The token alone, as text."""

    def stream(self, ids: Sequence[int]) -> Stream:
        """A stream that continues after these ids."""


class Lockstep:
    """Both models on one prompt: `step()` measures the next step, `seek()` goes to the end of any path.

    `ends_dense` and `ends_pruned` are the token ids that end each model's text. `text_ids` is the text that both read
    in `text`. Both distributions are over the ids below `vocabulary`. No context may contain the ids in `foreign`,
    because they are other tokens in the second model. `watched` has the ids of the settings' groups. A model that is
    given with its cache is used with it. Not safe for use from several threads at the same time.
    """

    def __init__(
        self,
        dense: PreTrainedModel | CachedModel,
        pruned: PreTrainedModel | CachedModel,
        tokens: Tokens,
        prompt_ids: Sequence[int],
        settings: RunSettings,
        *,
        ends_dense: frozenset[int] = frozenset(),
        ends_pruned: frozenset[int] = frozenset(),
        text_ids: Sequence[int] = (),
        vocabulary: int | None = None,
        foreign: frozenset[int] = frozenset(),
        watched: Sequence[WatchedIds] = (),
    ) -> None:
        if not prompt_ids:
            raise BadInput("Empty prompt", "The prompt has no tokens.", "Type at least one word.")
        if settings.follow is Follow.TEXT and not text_ids:
            raise BadInput("Empty text", "The text to score has no tokens.", "Give a text, or choose another context.")
        self.settings = settings
        self.prompt_ids = list(prompt_ids)
        self._tokens = tokens
        self._text_ids = list(text_ids)
        self._ends_dense, self._ends_pruned = ends_dense, ends_pruned
        self._both = BothModels.of(dense, pruned)
        self._vocabulary = min(self._both.vocabulary, vocabulary or 2**31)
        self._foreign = foreign
        self._check_known(self.prompt_ids, "The prompt has")
        self._check_known(self._text_ids, "The text has")
        if len(watched) != len(settings.watch):
            raise ValueError("the tokens of the watched groups are not given")
        self._watched = tuple(watched)
        self._check_known([token for group in watched for token in group.ids], "To be watched is")
        self._sampler = Sampler(settings.sampling)
        self._scratch: Tensor | None = None
        self._piece: ReadPiece | None = None
        self._in_pieces = settings.follow is Follow.TEXT and self._both.takes_pieces
        longest = self._both.longest
        self._room = longest - len(self.prompt_ids)
        if self._room < 1:
            raise BadInput(
                "Prompt too long",
                f"The prompt has {len(self.prompt_ids):,} tokens, but the models read at most {longest:,}.",
                "Shorten the prompt.",
            )
        self.seek(())

    def apart(self, follow: Follow) -> Lockstep:
        """Another one before its first step, on the same prompt and models, that follows a model.

        It has read what this one has, and nothing that one of them does disturbs the other.
        """
        other = copy.copy(self)
        other.settings, other._text_ids = replace(self.settings, follow=follow, text=""), []
        other._in_pieces = False
        other._both = self._both.apart()
        other._sampler, other._scratch = Sampler(self.settings.sampling), None
        other.seek(())
        return other

    def continued(self) -> Lockstep:
        """The same run at the same place, with caches of its own: stepping it on leaves this one where it is."""
        other = copy.copy(self)
        other._both = self._both.apart()
        other._sampler, other._scratch = Sampler(self.settings.sampling), None
        other.seek(self._path)
        return other

    def close(self) -> None:
        """Frees the caches."""
        self._piece = None
        self._both.forget()

    def __enter__(self) -> Lockstep:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[StepRecord]:
        """Steps until the end, at most as many as the settings say."""
        while not self.finished and len(self._path) < self.settings.longest:
            yield self.step()

    @property
    def path(self) -> Sequence[StepRecord]:
        """The steps that led here."""
        return self._path

    @property
    def models(self) -> tuple[CachedModel, CachedModel]:
        """The dense and the pruned model with their caches, to read contexts of this path with."""
        self._both.mend()
        return self._both.dense, self._both.pruned

    def take_news(self) -> str:
        """A sentence, once, if the models now compute in another way; otherwise ""."""
        return " ".join(dict.fromkeys(filter(None, (one.take_news() for one in (self._both.dense, self._both.pruned)))))

    @property
    def vocabulary(self) -> int:
        """The ids below it are compared."""
        return self._vocabulary

    def piece(self, token_id: int) -> str:
        """A token alone, as text."""
        return self._tokens.piece(token_id)

    def shared_context(self, step: int) -> list[int]:
        """The tokens before a step on the context that both models read there, which in `free` is the dense one.

        Raises `BadInput` if the path has no such step, or the dense text has ended before it.
        """
        if not 1 <= step <= len(self._path):
            found = f"steps 1 to {len(self._path)}" if self._path else "no steps"
            raise BadInput("No such step", f"Step {step} is not there: the run has {found}.", "Choose one of them.")
        tokens = [record.taken.token_id for record in self._path[: step - 1] if record.taken is not None]
        if len(tokens) < step - 1:
            message = f"The dense text ends at step {len(tokens)}, so the models share no context at step {step}."
            raise BadInput("No shared context", message, "Choose an earlier step.")
        return [*self.prompt_ids, *tokens]

    @property
    def limit(self) -> int:
        """The most steps, by the models' longest context and the text's length."""
        return min(self._room + 1, len(self._text_ids)) if self._text_ids else self._room + 1

    @property
    def finished(self) -> bool:
        """True if no further step can be measured on this path."""
        return len(self._path) >= self.limit or self.ended

    @property
    def text_left(self) -> int:
        """Tokens of the text to score that have not been scored."""
        return max(0, len(self._text_ids) - len(self._path))

    @property
    def ended(self) -> bool:
        """True if the text has ended, or a model could not choose a token (`stuck`)."""
        if self.stuck:
            return True
        return self._dense_ended and (self._pruned_ended or self.settings.follow is not Follow.FREE)

    def seek(self, path: Sequence[StepRecord]) -> None:
        """Goes to the end of these steps: the next `step()` measures the step after them.

        The records are not measured again; only their tokens are read, if the caches do not hold them. After going back
        to the first n steps of the present path, step n + 1 is bit-identical. The last bits can change on another
        branch, with a recurrent model, and when going back over a length at which rotary factors change: see
        `CachedModel` on tokens that are read in one piece.
        """
        self._path = list(path)
        self._sums = Accumulator.after(self._path)
        self._dense_ids = list(self.prompt_ids)
        self._pruned_ids = list(self.prompt_ids) if self.settings.follow is Follow.FREE else self._dense_ids
        self._dense_ended = self._pruned_ended = self.stuck = False
        for record in self._path:
            self._append(record)
        self._stream = self._tokens.stream(self._dense_ids)
        self._stream_pruned = self._tokens.stream(self._pruned_ids)

    def prefill(self, work: Work = UNWATCHED) -> None:
        """Reads the contexts, so that the next step feeds a single token.

        Its progress is in tokens, counted for each model.
        """
        self._read(work)

    def step(self, *, dense: int | None = None, pruned: int | None = None) -> StepRecord:
        """Measures the next step. `dense` and `pruned` force a token on the dense and the pruned context.

        If both models share one context, the given token is forced on it; `free` takes either or both. Raises
        ValueError if `finished`, and `BadInput` if a model lacks the token.
        """
        self._check_known([token for token in (dense, pruned) if token is not None], "The fork asks for")
        if self.finished:
            raise ValueError("the run has ended")
        output, output_pruned = self._read()
        record = self._measure(len(self._path) + 1, output, output_pruned, dense, pruned)
        self._path.append(record)
        self._append(record)
        return record

    def _check_known(self, ids: Sequence[int], where: str) -> None:
        """Raises `BadInput` for a token that one model lacks. Special tokens may differ between models, and a template
        may use them."""
        lacking = next((token for token in ids if not 0 <= token < self._vocabulary or token in self._foreign), None)
        if lacking is not None:
            why = f"but only the first {self._vocabulary:,} tokens are in both models and the tokenizer"
            if lacking in self._foreign:
                why = "which is another token in the second model"
            raise BadInput(
                "Unknown token",
                f"{where} {self._tokens.piece(lacking) if lacking >= 0 else ''!r} (token {lacking:,}), {why}.",
                "Choose another token. If the chat template adds it, send the prompt with --raw.",
            )

    @property
    def _ends(self) -> frozenset[int]:
        """The tokens that end the followed text."""
        return {Follow.PRUNED: self._ends_pruned, Follow.TEXT: frozenset[int]()}.get(
            self.settings.follow, self._ends_dense
        )

    # Reading --------------------------------------------------------------------------------------------------

    def _read(self, work: Work = UNWATCHED) -> Outputs:
        """The dense output (None once it has ended), and the pruned one: row 0 on the dense context, the last row
        on its own."""
        if not self._in_pieces:
            return self._both.read(None if self._dense_ended else self._dense_ids, self._pruned_contexts(), work)
        found = self._piece and self._piece.after(self._dense_ids)
        if found:
            return found
        step = len(self._path) + 1
        steps = piece_of(step)
        last = min(steps[-1], self.limit)
        context = [*self._dense_ids, *self._text_ids[step - 1 : last - 1]]
        dense, pruned = self._both.read(context, [context], work, last - steps[0] + 1)
        assert dense is not None
        if last > step and not (dense.finite and pruned.finite):
            # A token that is not finite spoils those before it in one pass: 0 times NaN is NaN.
            self.close()
            self._in_pieces = False
            return self._read(work)
        self._piece = ReadPiece(context, dense, pruned)
        found = self._piece.after(self._dense_ids)
        assert found
        return found

    def _pruned_contexts(self) -> list[list[int]]:
        if self._dense_ids == self._pruned_ids:
            return [self._dense_ids]
        # A context that has ended is fed its last token again and its output is not used: the batch keeps its shape,
        # and stepping back past the end needs no second reading.
        length = max(len(self._dense_ids), len(self._pruned_ids))
        return [ids + ids[-1:] * (length - len(ids)) for ids in (self._dense_ids, self._pruned_ids)]

    # Measuring ------------------------------------------------------------------------------------------------

    def _measure(
        self,
        step: int,
        output: NextTokenOutput | None,
        output_pruned: NextTokenOutput,
        dense: int | None,
        pruned: int | None,
    ) -> StepRecord:
        # With equal contexts, one text can still have ended alone, by a token that ends one model's text only.
        same = self._dense_ids == self._pruned_ids and self._dense_ended == self._pruned_ended
        output, output_pruned = _alike(output, output_pruned, self._vocabulary)
        invalid = self._invalid(output, output_pruned)
        # p: dense on its context; q: pruned on that same context; q_own: pruned on its own one, while it writes.
        p = self._distributions(output, 1)
        pruned_rows = self._distributions(output_pruned, 1 if self._pruned_ended else None)
        q = pruned_rows and pruned_rows[:1]
        q_own = None if self._pruned_ended else pruned_rows and pruned_rows[-1:]
        shared, own = self._compare(output, output_pruned, p, pruned_rows)
        if q_own is None:
            own = None

        chosen = self._sampler.choose(p.z[0], step) if p else None
        chosen_pruned = self._sampler.choose(q_own.z[0], step) if q_own else None
        y, y_pruned = self._next_tokens(step, chosen, chosen_pruned, dense, pruned)
        free = self.settings.follow is Follow.FREE
        forced = dense is not None or (pruned is not None and not free)
        record = StepRecord(
            step=step,
            dense=self._choice(chosen, p, q_own or q),
            pruned=self._choice(chosen_pruned, p, q_own),
            taken=self._taken(y, p, q, self._stream, self._ends, forced),
            taken_pruned=self._taken(y_pruned, p, q_own, self._stream_pruned, self._ends_pruned, pruned is not None),
            same_context=same,
            agree=own.p.rank_dense_in_pruned == 1 if own else None,
            own=own,
            shared=None if same else shared and _shortened(shared),
            sum=self._sums.sums,
            invalid=invalid,
            tied=_tied(p, q_own),
        )
        exact = (-p.log_at(y), -q.log_at(y)) if p and q and y is not None else None
        return replace(record, sum=self._sums.add(record, exact))

    def _next_tokens(
        self, step: int, chosen: int | None, chosen_pruned: int | None, dense: int | None, pruned: int | None
    ) -> tuple[int | None, int | None]:
        """The next tokens of the dense (or shared) context and of the pruned model's own context (`free`)."""
        if self.settings.follow is Follow.FREE:
            y = chosen if dense is None or self._dense_ended else dense
            y_pruned = chosen_pruned if pruned is None or self._pruned_ended else pruned
            return y, y_pruned
        forced = pruned if dense is None else dense
        if forced is not None:
            return forced, None
        if self.settings.follow is Follow.TEXT:
            return self._text_ids[step - 1], None
        return (chosen if self.settings.follow is Follow.DENSE else chosen_pruned), None

    def _append(self, record: StepRecord) -> None:
        """Appends a step's tokens to the contexts, and notes whether a text has ended."""
        free = self.settings.follow is Follow.FREE
        if not self._dense_ended:
            if record.taken is None:
                self.stuck = True
            else:
                self._dense_ids.append(record.taken.token_id)
                self._dense_ended = record.taken.end
        if free and not self._pruned_ended:
            if record.taken_pruned is None:
                self.stuck = True
            else:
                self._pruned_ids.append(record.taken_pruned.token_id)
                self._pruned_ended = record.taken_pruned.end

    def _distributions(self, output: NextTokenOutput | None, rows: int | None) -> Distribution | None:
        """Of the first rows, or all."""
        if output is None or not output.finite:
            return None
        return Distribution(output.logits[:rows], self.settings.analysis_t)

    def _compare(
        self,
        output: NextTokenOutput | None,
        output_pruned: NextTokenOutput,
        p: Distribution | None,
        pruned: Distribution | None,
    ) -> tuple[Comparison | None, Comparison | None]:
        """The dense model's output compared with the first and the last of the pruned model's."""
        if output is None or p is None or pruned is None:
            return None, None
        if self._scratch is None:
            self._scratch = new_scratch(p, 2 if self.settings.follow is Follow.FREE else 1)
        hidden = output_pruned.hidden[: len(pruned)]
        found = compare(
            output.hidden,
            hidden,
            p,
            pruned,
            top=self.settings.top,
            piece=self._tokens.piece,
            scratch=self._scratch,
            watched=self._watched,
        )
        return found[0], found[-1]

    def _choice(self, token: int | None, p: Distribution | None, q: Distribution | None) -> Choice | None:
        if token is None:
            return None
        return Choice(token, self._tokens.piece(token), p.at(token) if p else math.nan, q.at(token) if q else math.nan)

    def _taken(
        self,
        token: int | None,
        p: Distribution | None,
        q: Distribution | None,
        stream: Stream,
        ends: frozenset[int],
        forced: bool,
    ) -> Taken | None:
        choice = self._choice(token, p, q)
        if choice is None:
            return None
        end = choice.token_id in ends
        text = stream.push(choice.token_id)
        return Taken(choice.token_id, choice.token, choice.p, choice.q, text, forced, end)

    def _invalid(self, output: NextTokenOutput | None, output_pruned: NextTokenOutput) -> Invalid | None:
        """Which model's output is not finite, and at which module that began; the dense model is looked at first."""
        if output is not None and not output.finite:
            return Invalid("dense", self._both.dense.first_nonfinite([self._dense_ids]))
        if not output_pruned.finite:
            return Invalid("pruned", self._both.pruned.first_nonfinite(self._pruned_contexts()))
        return None


def _shortened(shared: Comparison) -> Comparison:
    """The comparison with fewer tokens in its table."""
    return replace(shared, top=tuple(row for row in shared.top if min(row.rank_dense, row.rank_pruned) <= SHARED_TOP))


def _tied(p: Distribution | None, q: Distribution | None) -> tuple[Side, ...]:
    sides: tuple[tuple[Side, Distribution | None], ...] = (("dense", p), ("pruned", q))
    return tuple(side for side, one in sides if one is not None and one.tied)


def _alike(
    output: NextTokenOutput | None, output_pruned: NextTokenOutput, vocabulary: int
) -> tuple[NextTokenOutput | None, NextTokenOutput]:
    """Both outputs on one device and over the tokens they share, without the rows that pad a vocabulary at its end."""
    device = (output or output_pruned).logits.device
    return output and output.over(vocabulary, device), output_pruned.over(vocabulary, device)
