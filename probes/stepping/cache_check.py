"""Refuses models whose cached decoding, token by token, gives other logits than a full forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from probes.models.error_boundary import error_boundary
from probes.models.loaded import Loaded
from probes.models.rotary import Rotary
from probes.schema.errors import BadInput
from probes.stepping.cached_model import CachedModel

TESTED = frozenset(
    (
        *("bloom", "falcon", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mamba", "mistral", "mixtral"),
        *("olmo2", "opt", "phi", "phi3", "qwen2", "qwen3"),
    )
)
"""Architectures, by transformers' name, that this project's tests step. They are not checked here, unless their rotary
factors change with the context's length."""
_READ = 6
_SHORT = 4
"""The sliding window during the check, and the length at which rotary factors change: reading past the model's own
limits could take minutes."""
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_COARSE = 0.2
"""The allowed error of a logit relative to the largest: 1e-3 in full precision, 0.2 in half precision."""
_HINT = "Use a causal model with a KV cache that transformers can crop, copy or empty."


@torch.inference_mode()
def check_steppable(loaded: Loaded) -> None:
    """Compares cached decoding of a few tokens, in one row and in two, with full forward passes.

    The tokens go past the sliding window and the length at which rotary factors change, which are both shortened for
    the check. Raises `BadInput` if reading fails or the logits differ: for example if the model sees later tokens,
    counts its positions in another way, or stores the context outside its cache.
    """
    model = loaded.model
    config = model.config.get_text_config(decoder=True)
    rotary = Rotary(model)
    failed = f"{loaded.info.name} is a {type(model).__name__}, and reading it token by token failed"
    if config.model_type in TESTED and type(model).__module__.startswith("transformers.") and not rotary:
        with error_boundary("Can't be stepped", failed, _HINT):
            CachedModel(model).read([[0]])  # fails if the configuration does not fit the weights
        return
    with error_boundary("Can't be stepped", failed, _HINT), _short_window(config), rotary.shortened(_SHORT):
        worst = _difference(model, rotary)
    if worst > _TOLERANCE.get(model.dtype, _COARSE):
        raise _refusal(loaded, "its cached decoding gives other logits than a full forward pass")


def _difference(model: PreTrainedModel, rotary: Rotary) -> float:
    """The largest difference of any logit, in parts of the largest; 0 of a model that is not finite, which is told
    where it is met."""
    cached = CachedModel(model)
    numbers = torch.Generator().manual_seed(0)
    drawn = torch.randint(cached.vocabulary, (_READ + 2,), generator=numbers).tolist()
    ids, ends = drawn[:_READ], drawn[_READ:]
    differences = []
    for length in (3, 4, 5, _READ, 3):
        # What is said after the first tokens depends on those to come only if the rotary factors do.
        expected = _at_once(model, ids[:length] if rotary else ids, cached, rotary)[length - 1]
        found = cached.read([ids[:length]])
        cached.join()
        differences.append(_apart(found.logits[0], expected))
    both = cached.read([[*ids, end] for end in ends])
    cached.join()
    for row, end in enumerate(ends):
        differences.append(_apart(both.logits[row], _at_once(model, [*ids, end], cached, rotary)[-1]))
    return max(differences)


def _at_once(model: PreTrainedModel, ids: list[int], cached: CachedModel, rotary: Rotary) -> torch.Tensor:
    rotary.restore()
    logits = model(input_ids=torch.tensor([ids], device=cached.device)).logits[0]
    assert isinstance(logits, torch.Tensor)
    return logits


@contextmanager
def _short_window(config: PreTrainedConfig) -> Iterator[None]:
    """Shortens the sliding window in its block."""
    own = getattr(config, "sliding_window", None)
    if not isinstance(own, int) or own <= _SHORT:
        yield
        return
    try:
        config.sliding_window = _SHORT
        yield
    finally:
        config.sliding_window = own


def _apart(logits: torch.Tensor, expected: torch.Tensor) -> float:
    if not bool(torch.isfinite(expected).all()):
        return 0.0
    return float((logits - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def _refusal(loaded: Loaded, why: str) -> BadInput:
    return BadInput(
        "Can't be stepped",
        f"{loaded.info.name} is a {type(loaded.model).__name__}, and {why}.",
        _HINT,
    )
