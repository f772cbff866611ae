"""Quantised folders: which package reads one, and bringing what it leaves packed to the weights it computes with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from transformers import PreTrainedModel

from probes.errors import BadInput

_COMPRESSED = "compressed-tensors"


def method(config: Mapping[str, object]) -> str:
    """How a configuration says its weights are quantised: "compressed-tensors", "gptq", …; "" where they aren't."""
    found = config.get("quantization_config")
    named = found.get("quant_method") if isinstance(found, Mapping) else None
    return str(getattr(named, "value", named) or "")


def described(config: Mapping[str, object]) -> str:
    """The method with the layout it names: "compressed-tensors pack-quantized"; "" where not quantised."""
    found = config.get("quantization_config")
    if method(config) == _COMPRESSED and isinstance(found, Mapping) and not found.get("config_groups"):
        return ""  # sparse weights in the same package's plain format
    layout = found.get("format") if isinstance(found, Mapping) else None
    return " ".join(part for part in (method(config), str(layout or "")) if part)


def check_readable(config: Mapping[str, object], name: str) -> None:
    """Raises `BadInput` where the package that reads this format is an extra that is not installed."""
    if method(config) == _COMPRESSED and find_spec("compressed_tensors") is None:
        raise BadInput(
            "Extra not installed",
            f"{name} is stored as compressed-tensors, which needs a package of its own.",
            'Install it with: pip install "phier[compressed]"',
        )


@contextlib.contextmanager
def unheard(config: Mapping[str, object]) -> Iterator[None]:
    """While it lasts, nothing that a quantisation package draws on standard error reaches the terminal."""
    if not method(config):
        yield
        return
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def settle(model: PreTrainedModel) -> None:
    """Makes the weights what they are when the model runs: some formats stay packed until the first pass.

    They take the room that they would take then; what is measured of them is what is computed with.
    """
    quantiser = getattr(model, "hf_quantizer", None)
    if quantiser is not None and method({"quantization_config": vars(quantiser.quantization_config)}) == _COMPRESSED:
        compressor = getattr(quantiser, "compressor", None)
        if compressor is not None:
            compressor.decompress_model(model)
