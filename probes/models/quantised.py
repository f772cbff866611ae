"""Recognises quantised folders, checks that their package is installed, and unpacks weights that it leaves packed."""

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
    """The quantisation that a configuration names: "compressed-tensors", "gptq", …; "" if it names none."""
    found = config.get("quantization_config")
    named = found.get("quant_method") if isinstance(found, Mapping) else None
    return visible(str(getattr(named, "value", named) or ""), 100)


def quantised_format(model: PreTrainedModel) -> str:
    """The method and its layout: "compressed-tensors pack-quantized"; "" if nothing is dequantised.

    The configuration alone is no proof: if transformers does not know the method, it reads the stored numbers as they
    are.
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
    """A warning that the configuration names a method that was not applied; nothing if there is none."""
    named = next((found for found in (method(one.to_dict()) for one in _configs(model)) if found), "")
    if not named or getattr(model, "hf_quantizer", None) is not None:
        return ()
    return (
        f"{name}'s config.json says that its weights are quantised by {visible(named, 60)!r}, which the installed "
        "transformers does not know. The numbers in its files are used as they are.",
    )


def _configs(model: PreTrainedModel) -> tuple[PreTrainedConfig, PreTrainedConfig]:
    return model.config, model.config.get_text_config(decoder=True)


def check_readable(config: Mapping[str, object], name: str) -> None:
    """Raises `BadInput` if the package that reads this format is not installed."""
    if method(config) == _COMPRESSED and find_spec("compressed_tensors") is None:
        raise BadInput(
            "Extra not installed",
            f"{name} is stored as compressed-tensors, which needs an extra package.",
            'Install it with: pip install "phier[compressed]"',
        )


@contextlib.contextmanager
def silenced(config: Mapping[str, object]) -> Iterator[None]:
    """Hides the output of quantisation packages on standard error in its block."""
    if not method(config):
        yield
        return
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def decompress(model: PreTrainedModel) -> None:
    """Unpacks weights that would stay packed until the first pass, so that the measured weights are those of the
    computation.

    Unpacked weights take the memory that they would take after the first pass.
    """
    quantiser = getattr(model, "hf_quantizer", None)
    if quantiser is not None and method({"quantization_config": vars(quantiser.quantization_config)}) == _COMPRESSED:
        compressor = getattr(quantiser, "compressor", None)
        if compressor is not None:
            compressor.decompress_model(model)
