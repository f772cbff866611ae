"""Rotary factors that depend on the length of the whole context: the two sets of longrope, dynamic NTK's.

transformers takes that length from the largest position of each forward pass. So what a cache holds was rotated by
the factors of the passes that filled it: of a shorter context, or of the first piece of this one. A pass over the whole
context rotates every key by the factors of its full length, and only that depends on nothing but the context. It is
what is computed here: every pass is told the full length, and a cache is kept only between lengths of one `scale`.

The factors are kept in the modules, and dynamic NTK's don't shrink when a shorter context is read next. They are put
back before and after, so that no context, no other model and no calibration gets what an earlier one left.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.hooks import Forward, replacing_forward

_SWITCH = "original_max_position_embeddings"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One set of factors of one rotary module; some have a set for each type of layer."""

    module: Any
    prefix: str
    """What the names of the module's attributes begin with."""
    parameters: dict[str, Any]
    """The configuration's, which the module looks at."""
    dynamic: bool
    """Other factors at each length beyond the limit; otherwise one other set for all of them."""

    @property
    def limit(self) -> int:
        """The longest context that is read with the factors that the model starts with."""
        return int(self.module.original_max_seq_len if self.dynamic else self.parameters[_SWITCH])

    def scale(self, length: int) -> int:
        return max(length, self.limit) if self.dynamic else int(length > self.limit)

    def restore(self) -> None:
        """Puts back the factors that a model starts with."""
        name = f"{self.prefix}inv_freq"
        original = getattr(self.module, f"{self.prefix}original_inv_freq")
        # A copy, because some versions write to it in place; made so that it may be written to anywhere.
        with torch.inference_mode(False):
            copied = original.to(getattr(self.module, name).device, copy=True)
        self.module.register_buffer(name, copied, persistent=False)
        if self.dynamic:
            setattr(self.module, f"{self.prefix}max_seq_len_cached", self.module.original_max_seq_len)

    @contextmanager
    def shortened(self, limit: int) -> Iterator[None]:
        """Changes the limit for a while."""
        config = self.module.config
        places: list[tuple[Any, str]] = [(config, _SWITCH)]
        if self.dynamic:
            places = [(config, "max_position_embeddings"), (self.module, "original_max_seq_len")]
        held = [(place, name, getattr(place, name)) for place, name in places if hasattr(place, name)]
        switch = self.parameters.get(_SWITCH)
        try:
            for place, name, _ in held:
                setattr(place, name, limit)
            if not self.dynamic:
                self.parameters[_SWITCH] = limit
            self.restore()
            yield
        finally:
            for place, name, value in held:
                setattr(place, name, value)
            if not self.dynamic:
                self.parameters[_SWITCH] = switch
            self.restore()


class Rotary:
    """The rules of a model by which its rotary factors follow the context's length; most models have none."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        found = {path: _rules(module) for path, module in model.named_modules()}
        self._paths = [path for path, rules in found.items() if rules]
        self._rules = [rule for rules in found.values() for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def scale(self, length: int) -> tuple[int, ...]:
        """Equal for two lengths if contexts of both are read with the same factors."""
        return tuple(rule.scale(length) for rule in self._rules)

    @property
    def stretch(self) -> float:
        """How many times its `max_position_embeddings` the model can read: dynamic NTK begins only there."""
        return max((float(rule.parameters.get("factor") or 1) for rule in self._rules if rule.dynamic), default=1.0)

    @property
    def note(self) -> str:
        """A sentence for people if single steps or all later ones take long for this reason; otherwise ""."""
        dynamic = [rule.limit for rule in self._rules if rule.dynamic]
        if dynamic:
            return (
                f"beyond {min(dynamic):,} tokens its rotary factors change with every token (dynamic NTK), so each "
                "step there reads the whole context again and takes as long."
            )
        if self._rules:
            return (
                f"beyond {min(rule.limit for rule in self._rules):,} tokens it uses other rotary factors (longrope); "
                "the step that crosses this length reads the whole context again."
            )
        return ""

    @contextmanager
    def at_length(self, length: int) -> Iterator[None]:
        """Runs every forward pass in its block with the factors of a context of this length."""
        self.restore()
        try:
            with replacing_forward(self._model, dict.fromkeys(self._paths, _with_last_position(length))):
                yield
        finally:
            self.restore()

    @contextmanager
    def shortened(self, limit: int) -> Iterator[None]:
        """Other factors are used from this length on already, so that a few tokens are enough to try them."""
        with ExitStack() as stack:
            for rule in self._rules:
                stack.enter_context(rule.shortened(limit))
            yield

    def restore(self) -> None:
        """Forgets the longest context that the model has read so far."""
        for rule in self._rules:
            rule.restore()


def changing_buffers(model: nn.Module) -> list[Tensor]:
    """The buffers that a forward pass writes to: of two models that read at once, each needs its own."""
    return [buffer for module in model.modules() if _rules(module) for buffer in module.buffers(recurse=False)]


def _rules(module: Any) -> list[_Rule]:
    kinds, config = getattr(module, "rope_type", None), getattr(module, "config", None)
    parameters = getattr(config, "rope_parameters", None)
    if not isinstance(parameters, dict):
        return []
    if isinstance(kinds, str):
        sets: Mapping[str, tuple[str, Any]] = {"": (kinds, parameters)}
    else:
        sets = {f"{layer}_": (kind, parameters.get(layer)) for layer, kind in dict(kinds or {}).items()}
    return [
        _Rule(module, prefix, found, "dynamic" in kind)
        for prefix, (kind, found) in sets.items()
        if isinstance(found, dict) and ("dynamic" in kind or kind == "longrope")
    ]


def _with_last_position(length: int) -> Callable[[Forward], Forward]:
    """Adds a context's last position to those that a rotary module is asked for, and takes its angles off again."""

    def made_of(forward: Forward) -> Forward:
        signature = inspect.signature(forward)

        def angles(*args: object, **kwargs: object) -> object:
            bound = signature.bind(*args, **kwargs)
            positions = bound.arguments["position_ids"]
            last = positions.new_full((*positions.shape[:-1], 1), length - 1)
            bound.arguments["position_ids"] = torch.cat([positions, last], -1)
            return _without_last_position(forward(*bound.args, **bound.kwargs))

        return angles

    return made_of


def _without_last_position(output: Any) -> Any:
    """Takes that position's angles off: cosines and sines, or one complex tensor, of shape (…, positions, angles)."""
    if isinstance(output, Tensor):
        return output[..., :-1, :]
    return tuple(part[..., :-1, :] for part in output)
