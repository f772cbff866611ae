"""A pair of tiny models with a tokenizer, to score texts with, and a slow reading of what scoring adds up."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from probes.models.loaded import Loaded
from probes.pair import Pair, pair_with_twin
from probes.schema.header import ModelInfo
from probes.schema.prune_setting import parse
from tests.support.stepping import damaged
from tests.support.tiny import byte_tokenizer, moved, tiny

TOKENIZER = byte_tokenizer(chat=False)
CONTEXT = 64
TEXT = "the ringing of the singer, and 12 ringers: the thing! " * 6
INFO = ModelInfo("tiny", "tiny", "", "abc", "Tiny", 3, 32, len(TOKENIZER), 1000, "float64", "cpu")


def loaded(seed: int = 0, architecture: str = "llama", name: str = "tiny") -> Loaded:
    """A tiny model in float64."""
    model = tiny(architecture, seed, vocab_size=len(TOKENIZER), max_position_embeddings=CONTEXT)
    info = ModelInfo(name, name, "", f"{name}{seed}", "Tiny", 3, 32, len(TOKENIZER), 1000, "float64", "cpu")
    return Loaded(moved(model, torch.float64), TOKENIZER, info)


def foreign_pair(noise: float = 0.4) -> Pair:
    """The model and a damaged copy, as one made elsewhere."""
    dense = loaded()
    other = loaded(name="other")
    return Pair(dense, Loaded(damaged(dense.model, noise), TOKENIZER, other.info), None)


def twin_pair(setting: str = "magnitude:0.5") -> Pair:
    """The model and its twin under a setting."""
    return pair_with_twin(loaded(), parse(setting))


def log_softmaxes(pair: Pair, ids: Sequence[int]) -> list[torch.Tensor]:
    """Both models' log-probabilities after each token, (tokens, V), from one plain pass each."""
    with torch.inference_mode():
        return [
            one.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].double().log_softmax(-1)
            for one in (pair.dense, pair.pruned)
        ]
