"""Generates short answers in both models, and matches them. The accumulated figures are those of the dense text.

Both models are stepped on the dense model's answer, so they read the same tokens in the same shapes. From the first
token that the pruned model would have chosen differently, its own answer is written on alone. The texts are those of
`free`, without the second comparison of each step, which no figure here needs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from probes.models.loaded import Loaded, end_ids
from probes.models.prompting import Prompt
from probes.schema.items import ItemSet, ShortAnswer
from probes.schema.record import Side, StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.summary import summarise
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import Answered, GenerationFigures, ItemResult
from probes.stepping.cached_model import CachedModel
from probes.stepping.lockstep import Lockstep
from probes.stepping.sampling import Sampler
from probes.tasks.exact_match import answer_in, is_complete, matches
from probes.tasks.item_plan import TaskPlan
from probes.tasks.item_spaces import mean_spaces
from probes.tasks.options import SIDES
from probes.tasks.prompts import short_answer_prompt
from probes.tasks.readers import SCORING, Readers, item_name


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """What one model wrote after a prompt."""

    text: str
    """Without the token that ends it."""
    steps: int = 0
    """Its tokens, with the one that ends it."""
    broken_after: tuple[int, ...] = ()
    """The tokens on which the model computes NaN or infinity; empty if it never did."""


class Generation:
    """Answers prompts in both models."""

    def __init__(self, readers: Readers, new_tokens: int) -> None:
        """An answer has at most `new_tokens` tokens."""
        self._readers, self._new_tokens = readers, new_tokens
        self._ends = tuple(map(_ends, (readers.pair.dense, readers.pair.pruned)))
        self._sampler = Sampler(Sampling())

    def score(self, items: ItemSet, item: ShortAnswer, prompt: Prompt) -> ItemResult:
        """The answers of both models, each by itself, and the figures of the dense model's steps.

        Raises `Cancelled`, and `Failure` if memory runs out.
        """
        settings = RunSettings(prompt.text, raw=True, follow=Follow.DENSE, steps=self._new_tokens)
        readers = self._readers
        readers.forget()
        lockstep = Lockstep(
            *readers.models,
            readers.tokens,
            prompt.ids,
            settings,
            ends_dense=self._ends[0],
            ends_pruned=self._ends[1],
            vocabulary=readers.vocabulary,
            foreign=readers.foreign,
        )
        with lockstep:
            lockstep.prefill(readers.work)
            steps = self._shared_steps(lockstep)
            chosen = _tokens(steps, "dense"), _until_split(steps)
            written = [
                self._written(model, prompt.ids, known, ends)
                for model, known, ends in zip(lockstep.models, chosen, self._ends, strict=True)
            ]
        notes = [
            readers.broken(side, one.broken_after) for side, one in zip(SIDES, written, strict=True) if one.broken_after
        ]
        dense, pruned = (_answered(one, item.targets) for one in written)
        return ItemResult(
            items.name,
            item.id,
            dense,
            pruned,
            mean_spaces([step.own for step in steps if step.own is not None]),
            generation=_figures(steps, written[1].steps),
            notes=tuple(notes),
        )

    def _shared_steps(self, lockstep: Lockstep) -> list[StepRecord]:
        """The steps of the dense model's answer, up to one at which a model computes NaN."""
        steps: list[StepRecord] = []
        text = ""
        for record in lockstep:
            self._readers.work.check(SCORING)
            if record.invalid or record.taken is None:
                break
            steps.append(record)
            text += record.taken.text
            if record.taken.end or is_complete(text):
                break
        return steps

    def _written(
        self, model: CachedModel, prompt: Sequence[int], known: Sequence[int], ends: Collection[int]
    ) -> WrittenAnswer:
        """The model's own answer, which begins with the tokens that are known."""
        context, stream, text, steps = list(prompt), self._readers.tokens.stream(prompt), "", 0
        for place in range(self._new_tokens):
            if place < len(known):
                token = known[place]
            elif len(context) > self._readers.longest:
                break
            else:
                self._readers.work.check(SCORING)
                output = model.read([context], self._readers.work)
                model.join()
                if not output.finite:
                    return WrittenAnswer(text, place, tuple(context))
                token = self._sampler.choose(output.logits[0, : self._readers.vocabulary], place + 1)
            steps = place + 1
            if token in ends:
                break
            text += stream.push(token)
            context.append(token)
            if is_complete(text):
                break
        return WrittenAnswer(text, steps)


def plan_generation(
    readers: Readers, items: ItemSet, done: Collection[tuple[str, str]], options: TaskOptions
) -> TaskPlan:
    """Answers each prompt that is not done. Raises `BadInput` if one is too long, or has tokens that a model lacks."""
    left = [item for item in items.prompts if (items.name, item.id) not in done]
    if not left:
        return TaskPlan(0, iter(()))
    generation = Generation(readers, options.new_tokens)
    scorers = []
    for item in left:
        readers.work.check(SCORING)
        prompt = short_answer_prompt(readers.tokenizer, items, item)
        readers.check(item_name(items, item.id), prompt.ids, len(prompt.ids) + 1)
        scorers.append(partial(generation.score, items, item, prompt))
    return TaskPlan(len(scorers), ((score(),) for score in scorers))


def _ends(loaded: Loaded) -> frozenset[int]:
    """The tokens that end a text, those of a chat included."""
    return end_ids(loaded, RunSettings("prompt"))


def _tokens(steps: Sequence[StepRecord], side: Side) -> list[int]:
    choices = [step.dense if side == "dense" else step.pruned for step in steps]
    return [choice.token_id for choice in choices if choice is not None]


def _until_split(steps: Sequence[StepRecord]) -> list[int]:
    """The pruned model's tokens up to the first that the dense model did not choose."""
    same = next((place for place, step in enumerate(steps) if step.split), len(steps))
    return _tokens(steps[: same + 1], "pruned")


def _answered(written: WrittenAnswer, targets: Sequence[str]) -> Answered:
    if written.broken_after:
        return Answered("", False, 0.0, text=written.text)
    answer = answer_in(written.text)
    right = matches(answer, targets)
    return Answered(answer, right, float(right), text=written.text)


def _figures(steps: Sequence[StepRecord], steps_pruned: int) -> GenerationFigures | None:
    if not steps:
        return None
    summary = summarise(steps)
    return GenerationFigures(
        steps=summary.steps,
        kl=summary.kl_shared_sum,
        agree_rate=summary.agree_rate,
        first_split=summary.first_split,
        survival=summary.survival,
        half_life=summary.half_life,
        steps_pruned=steps_pruned,
    )
