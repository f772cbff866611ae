"""Refuses models that are not causal language models, each kind with its own sentence, before their weights are
read."""

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
"""The kind of a model by the end of its class name; none of these has an LM head."""


def check_causal(config: PreTrainedConfig, found: Mapping[str, object], folder: Path, name: str) -> None:
    """Raises `BadInput` unless the model predicts the next token of a text from the tokens before it.

    `found` is the content of the configuration file.
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
        raise _refusal(f"{name} is a {called}, which transformers does not know as a causal language model.")


def _architecture(found: Mapping[str, object]) -> str:
    """The class that the weights were saved from; "" if none is named."""
    named = found.get("architectures")
    return next((one for one in named if isinstance(one, str)), "") if isinstance(named, list) else ""


def _reads_both_ways(config: PreTrainedConfig, architecture: str) -> bool:
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return True
    # These types are encoders unless `is_decoder` is set. Types without that field are decoders.
    return getattr(config, "is_decoder", True) is False and not architecture.endswith(("ForCausalLM", "LMHeadModel"))


def _brings_its_own(config: PreTrainedConfig) -> bool:
    named = getattr(config, "auto_map", None)
    return isinstance(named, Mapping) and "AutoModelForCausalLM" in named


def _refusal(sentence: str) -> BadInput:
    return BadInput("Not a language model", sentence, "Name a causal language model.")
