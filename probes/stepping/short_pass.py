"""Reads single tokens with a recipe (`recipe.py`), once it has been seen that it gives the same bits.

A pass of a module graph over one token spends a third of its time in Python and between short operations. Recipes are
made in passing: the first token after a change of the model is read as ever, the second and the third are written down,
and the fourth is read in both ways. If all bits are the same, the recipe is used until the model changes. While a
module is watched, exchanged or in training, the modules run as ever; so hooks see every pass.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from probes.models.kv_cache import same_cache
from probes.models.model_state import ModelState, is_observed
from probes.stepping.recipe import NoRecipe, Recipe, WrittenPass, keys_and_values

Ordinary = Callable[[Tensor, Tensor, DynamicCache], tuple[Tensor, Tensor]]
"""The model's own pass over ids at positions, (rows, 1) each. It returns what enters the LM head, (rows, 1, d), and the
logits, (rows, 1, V), and adds to the cache."""
_MOST_ROWS = 2
"""Stepping reads at most two contexts. A recipe keeps all that is computed for a token in memory."""
_NO_LENGTH = re.compile(r"^num_|^n_(layer|head|embd|inner)|head|hidden|intermediate|vocab|dim|ffn|rank|expert|_ids?$")
"""Settings whose numbers are other sizes."""


@dataclass(slots=True)
class _Course:
    """How far the recipe for one number of rows has come."""

    earlier: WrittenPass | None = None
    recipe: Recipe | None = None
    proved: bool = False
    refused: bool = False


class ShortPass:
    """Reads single tokens of one model, for all readers of it that go on from one another."""

    def __init__(
        self,
        model: PreTrainedModel,
        ordinary: Ordinary,
        device: torch.device,
        helper: ThreadPoolExecutor | None = None,
    ) -> None:
        """`helper` is idle while this model still reads several contexts."""
        self._model, self._ordinary, self._device, self._helper = model, ordinary, device, helper
        self._lengths: list[int] = []
        self._state: ModelState | None = None
        self._courses: dict[int, _Course] = {}
        """By number of rows."""
        self._stretch = 0
        self._turn = threading.Lock()
        self.refused = ""
        """Why the last token was not read with a recipe, if that is so because of the model; otherwise ""."""

    @property
    def used(self) -> bool:
        """Is a recipe in use?"""
        return any(course.proved for course in self._courses.values())

    def read(self, last: Sequence[int], position: int, cache: DynamicCache) -> tuple[Tensor, Tensor]:
        """What enters the LM head, (rows, 1, d), and the logits, (rows, 1, V), after a last token of each row."""
        plain = position and len(last) <= _MOST_ROWS and self._device.type == "cpu"
        usual = plain and torch.is_inference_mode_enabled() and not is_observed()
        if not usual or not self._turn.acquire(blocking=False):
            return self._as_ever(last, position, cache)
        try:
            course = self._course(len(last), position)
            if course is None or course.refused:
                return self._as_ever(last, position, cache)
            if course.recipe is None:
                return self._written(course, last, position, cache)
            if not course.proved:
                return self._proved(course, course.recipe, last, position, cache)
            return course.recipe(last, position, cache)
        finally:
            self._turn.release()

    def _course(self, rows: int, position: int) -> _Course | None:
        """The course for so many rows at this length; None if the model is to be read as ever now."""
        if self._state is None or not self._state.current:
            self._courses, self._state = {}, ModelState(self._model)
            self._lengths = sorted(set(_lengths(self._model.config.to_dict())))
            return None
        if self._state.watched or not self._state.on_cpu:
            return None
        # A window or another limit, after which a model computes differently, is a number of its configuration. Near
        # one it is read as ever, as nobody knows whether it counts the token itself.
        stretch = bisect(self._lengths, position + 2)
        if stretch != self._stretch:
            self._courses, self._stretch = {}, stretch
        if stretch and position - self._lengths[stretch - 1] < 2:
            return None
        return self._courses.setdefault(rows, _Course())

    def _as_ever(self, last: Sequence[int], position: int, cache: DynamicCache) -> tuple[Tensor, Tensor]:
        return self._ordinary(*self._given(last, position), cache)

    def _given(self, last: Sequence[int], position: int) -> tuple[Tensor, Tensor]:
        ids = torch.tensor(last, device=self._device)[:, None]
        return ids, torch.full_like(ids, position)

    def _written(
        self, course: _Course, last: Sequence[int], position: int, cache: DynamicCache
    ) -> tuple[Tensor, Tensor]:
        """Reads as ever and writes down how."""
        ids, positions = self._given(last, position)
        try:
            written = WrittenPass(ids, positions, cache)
        except NoRecipe as problem:
            self._refuse(course, problem)
            return self._ordinary(ids, positions, cache)
        with written:
            written.hidden, written.logits = self._ordinary(ids, positions, cache)
        output = written.hidden.clone(), written.logits.clone()
        if course.earlier is None or course.earlier.length == written.length:
            course.earlier = written
            return output
        try:
            helper = self._helper if len(last) > 1 else None
            course.recipe = Recipe(course.earlier, written, self._model, helper)
        except NoRecipe as problem:
            self._refuse(course, problem)
        course.earlier = None
        return output

    def _proved(
        self, course: _Course, recipe: Recipe, last: Sequence[int], position: int, cache: DynamicCache
    ) -> tuple[Tensor, Tensor]:
        """Reads in both ways, and compares all bits."""
        beside = same_cache(cache)
        found = recipe(last, position, beside)
        expected = self._as_ever(last, position, cache)
        pairs = zip((*found, *keys_and_values(beside)), (*expected, *keys_and_values(cache)), strict=True)
        if all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs):
            course.proved, self.refused = True, ""
        else:
            self._refuse(course, NoRecipe("its numbers were not the same to the bit"))
        return expected

    def _refuse(self, course: _Course, why: NoRecipe) -> None:
        course.refused, course.earlier, course.recipe = True, None, None
        self.refused = str(why)


def _lengths(settings: Mapping[str, object]) -> Iterator[int]:
    """The numbers in a configuration that may be a number of tokens: a window, a longest context."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _lengths({str(key): one for key, one in value.items()})
        elif not _NO_LENGTH.search(name):
            values = value if isinstance(value, (list, tuple)) else [value]
            yield from (one for one in values if type(one) is int)
