"""Can a model be read token by token? Its logits must then be those of reading all at once."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from probes.errors import BadInput, PhierError
from probes.models import Loaded
from probes.track import Track

TESTED = frozenset(
    (
        *("bloom", "falcon", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama", "mamba", "mistral", "mixtral"),
        *("olmo2", "opt", "phi", "phi3", "qwen2", "qwen3"),
    )
)
"""Architectures that tests of this project step, by transformers' name: their models are not tried out anew."""
_READ = 6
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-3}
_COARSE = 0.2
"""Largest difference in parts of the largest logit: what rounding can do, of a dtype of full and of half precision."""


@torch.inference_mode()
def check_steppable(loaded: Loaded) -> None:
    """Reads a few tokens step by step, with its cache, in one row and in two, and at once.

    Raises `BadInput` where the two differ, as of a model that sees tokens to come, counts its positions from elsewhere,
    or keeps what it has read where no other context can be read, and where it fails.
    """
    model = loaded.model
    config = model.config.get_text_config(decoder=True)
    if config.model_type in TESTED and type(model).__module__.startswith("transformers."):
        return
    try:
        worst = _difference(model)
    except (PhierError, torch.OutOfMemoryError):
        raise
    except Exception as problem:
        said = str(problem).partition("\n")[0] or type(problem).__name__
        raise _refusal(loaded, f"reading it token by token failed: {said}") from problem
    if worst > _TOLERANCE.get(model.dtype, _COARSE):
        raise _refusal(loaded, "its logits token by token are others than those of reading all at once")


def _difference(model: PreTrainedModel) -> float:
    """The largest difference of any logit, in parts of the largest; 0 of a model that is not finite, which is told
    where it is met."""
    track = Track(model)
    numbers = torch.Generator().manual_seed(0)
    drawn = torch.randint(track.vocabulary, (_READ + 2,), generator=numbers).tolist()
    ids, ends = drawn[:_READ], drawn[_READ:]
    expected = _at_once(model, ids, track)
    differences = [_apart(track.read([ids[:n]]).logits[0], expected[n - 1]) for n in (3, 4, _READ)]
    both = track.read([[*ids, end] for end in ends])
    differences += [_apart(both.logits[row], _at_once(model, [*ids, end], track)[-1]) for row, end in enumerate(ends)]
    return max(differences)


def _at_once(model: PreTrainedModel, ids: list[int], track: Track) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([ids], device=track.device)).logits[0]
    assert isinstance(logits, torch.Tensor)
    return logits


def _apart(logits: torch.Tensor, expected: torch.Tensor) -> float:
    if not bool(torch.isfinite(expected).all()):
        return 0.0
    return float((logits - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def _refusal(loaded: Loaded, why: str) -> BadInput:
    return BadInput(
        "Can't be stepped",
        f"{loaded.info.name} is a {type(loaded.model).__name__}, and {why}.",
        "Use a causal model with a cache that transformers can crop, copy or start anew.",
    )
