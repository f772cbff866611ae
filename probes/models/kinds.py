"""Kinds of models that are no causal language models, each refused by its own sentence before its weights are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from transformers import PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_HEADS = {
    "ForSequenceClassification": "a sequence classifier",
    "ForTokenClassification": "a token classifier",
    "ForQuestionAnswering": "a model that finds answers in a text",
    "ForMultipleChoice": "a model that chooses between answers",
    "ForImageClassification": "an image classifier",
    "ForAudioClassification": "an audio classifier",
}
"""What a model is, by how the name of its class ends; none of them has an LM head."""


def check_causal(config: PreTrainedConfig, found: Mapping[str, object], folder: Path, name: str) -> None:
    """Raises `BadInput` unless the configuration is of a model that predicts a text's next token from those before.

    `found` is the configuration as it is in the file.
    """
    kind = str(config.model_type)
    architecture = _architecture(found)
    called = visible(architecture or kind, 100)
    if kind in MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES or kind in MODEL_FOR_CTC_MAPPING_NAMES:
        raise _refusal(f"{name} is a speech model ({called}): it needs audio to write a text.")
    if getattr(config, "is_encoder_decoder", False) is True:
        raise _refusal(f"{name} is an encoder-decoder ({called}): it needs a source text beside the text it writes.")
    for ending, what in _HEADS.items():
        if architecture.endswith(ending):
            raise _refusal(f"{name} is {what} ({called}): it has no LM head and predicts no next token.")
    if (folder / "modules.json").exists():
        raise _refusal(
            f"{name} is an embedding model ({called}): its modules.json turns a text into one vector, and it predicts "
            "no next token."
        )
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and _reads_both_ways(config, architecture):
        raise _refusal(
            f"{name} is an encoder ({called}): it reads a text in both directions and predicts no next token."
        )
    if kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not _brings_its_own(config):
        raise _refusal(f"{name} is a {called}: not a causal language model that transformers knows.")


def _architecture(found: Mapping[str, object]) -> str:
    """The class that the weights were saved from; "" if none is named."""
    named = found.get("architectures")
    return next((one for one in named if isinstance(one, str)), "") if isinstance(named, list) else ""


def _reads_both_ways(config: PreTrainedConfig, architecture: str) -> bool:
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return True
    # Such types are encoders unless their configuration makes decoders of them; those without the field are decoders.
    return getattr(config, "is_decoder", True) is False and not architecture.endswith(("ForCausalLM", "LMHeadModel"))


def _brings_its_own(config: PreTrainedConfig) -> bool:
    named = getattr(config, "auto_map", None)
    return isinstance(named, Mapping) and "AutoModelForCausalLM" in named


def _refusal(sentence: str) -> BadInput:
    return BadInput("Not a language model", sentence, "Name a causal language model.")
