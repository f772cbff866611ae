"""Quantised folders: which package reads one, and bringing what it leaves packed to the weights it computes with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from transformers import PreTrainedConfig, PreTrainedModel

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_COMPRESSED = "compressed-tensors"


def method(config: Mapping[str, object]) -> str:
    """How a configuration says its weights are quantised: "compressed-tensors", "gptq", …; "" where they aren't."""
    found = config.get("quantization_config")
    named = found.get("quant_method") if isinstance(found, Mapping) else None
    return visible(str(getattr(named, "value", named) or ""), 100)


def quantised_format(model: PreTrainedModel) -> str:
    """The method with the layout it names: "compressed-tensors pack-quantized"; "" where nothing dequantises.

    What a configuration says alone is not believed: transformers reads the plain numbers if it knows no such method.
    """
    config = model.config.to_dict()
    found = config.get("quantization_config")
    if getattr(model, "hf_quantizer", None) is None:
        return ""
    if method(config) == _COMPRESSED and isinstance(found, Mapping) and not found.get("config_groups"):
        return ""  # sparse weights in the same package's plain format
    layout = found.get("format") if isinstance(found, Mapping) else None
    return visible(" ".join(part for part in (method(config), str(layout or "")) if part))


def unknown_method(model: PreTrainedModel, name: str) -> tuple[str, ...]:
    """A warning that the configuration names a method which was not applied; nothing if there is none."""
    named = next((found for found in (method(one.to_dict()) for one in _configs(model)) if found), "")
    if not named or getattr(model, "hf_quantizer", None) is not None:
        return ()
    return (
        f"{name}'s config.json says that its weights are quantised by {visible(named, 60)!r}, which the installed "
        "transformers does not know. They are read as the plain numbers that its files hold.",
    )


def _configs(model: PreTrainedModel) -> tuple[PreTrainedConfig, PreTrainedConfig]:
    return model.config, model.config.get_text_config(decoder=True)


def check_readable(config: Mapping[str, object], name: str) -> None:
    """Raises `BadInput` where the package that reads this format is an extra that is not installed."""
    if method(config) == _COMPRESSED and find_spec("compressed_tensors") is None:
        raise BadInput(
            "Extra not installed",
            f"{name} is stored as compressed-tensors, which needs a package of its own.",
            'Install it with: pip install "phier[compressed]"',
        )


@contextlib.contextmanager
def silenced(config: Mapping[str, object]) -> Iterator[None]:
    """While it lasts, nothing that a quantisation package draws on standard error reaches the terminal."""
    if not method(config):
        yield
        return
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def decompress(model: PreTrainedModel) -> None:
    """Makes the weights what they are when the model runs: some formats stay packed until the first pass.

    They take the room that they would take then; what is measured of them is what is computed with.
    """
    quantiser = getattr(model, "hf_quantizer", None)
    if quantiser is not None and method({"quantization_config": vars(quantiser.quantization_config)}) == _COMPRESSED:
        compressor = getattr(quantiser, "compressor", None)
        if compressor is not None:
            compressor.decompress_model(model)
