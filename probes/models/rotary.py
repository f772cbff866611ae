"""Computes rotary factors that depend on the length of the whole context: longrope and dynamic NTK.

transformers takes that length from the largest position of each forward pass. The keys in a cache are therefore rotated
by the factors of the passes that filled it: those of a shorter context, or of the first piece of this one. A pass over
the whole context rotates every key by the factors of the full length, so its result depends on the context alone. This
module gives the same result step by step: every pass gets the full length, and a cache is kept only between lengths of
one `scale`.

The factors are stored in the modules, and dynamic NTK's do not shrink when a shorter context follows. They are restored
before and after, so that no later context, other model or calibration uses the factors of an earlier context.
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
    """One set of factors of one rotary module; some modules have a set for each type of layer."""

    module: Any
    prefix: str
    """The beginning of the names of the module's attributes."""
    parameters: dict[str, Any]
    """The configuration's rotary parameters, which the module reads."""
    dynamic: bool
    """True if the factors differ at each length beyond the limit; False if one other set is used for all of them."""

    @property
    def limit(self) -> int:
        """The longest context that is read with the model's initial factors."""
        return int(self.module.original_max_seq_len if self.dynamic else self.parameters[_SWITCH])

    def scale(self, length: int) -> int:
        return max(length, self.limit) if self.dynamic else int(length > self.limit)

    def restore(self) -> None:
        """Restores the model's initial factors."""
        name = f"{self.prefix}inv_freq"
        original = getattr(self.module, f"{self.prefix}original_inv_freq")
        # A copy, because some versions write to it in place. Outside inference mode, so that any code may write to it.
        with torch.inference_mode(False):
            copied = original.to(getattr(self.module, name).device, copy=True)
        self.module.register_buffer(name, copied, persistent=False)
        if self.dynamic:
            setattr(self.module, f"{self.prefix}max_seq_len_cached", self.module.original_max_seq_len)

    @contextmanager
    def shortened(self, limit: int) -> Iterator[None]:
        """Changes the limit in its block."""
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
    """The rules by which a model's rotary factors depend on the context's length; most models have none."""

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
        """How many times its `max_position_embeddings` the model can read: dynamic NTK extends the context beyond
        that."""
        return max((float(rule.parameters.get("factor") or 1) for rule in self._rules if rule.dynamic), default=1.0)

    @property
    def note(self) -> str:
        """A sentence about steps that take long for this reason; "" if none do."""
        dynamic = [rule.limit for rule in self._rules if rule.dynamic]
        if dynamic:
            return (
                f"beyond {min(dynamic):,} tokens its rotary factors change with every token (dynamic NTK), so each "
                "step reads the whole context again and takes that long."
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
        """Makes the factors change at this length in its block, so that a few tokens are enough to test them."""
        with ExitStack() as stack:
            for rule in self._rules:
                stack.enter_context(rule.shortened(limit))
            yield

    def restore(self) -> None:
        """Restores the initial factors of every rule."""
        for rule in self._rules:
            rule.restore()


def changing_buffers(model: nn.Module) -> list[Tensor]:
    """The buffers that a forward pass writes to. Two models that run at the same time each need their own."""
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
    """Adds the context's last position to the positions that a rotary module gets, and removes its angles."""

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
    """Removes the last position's angles: cosines and sines, or one complex tensor, (…, positions, angles)."""
    if isinstance(output, Tensor):
        return output[..., :-1, :]
    return tuple(part[..., :-1, :] for part in output)
