"""What the dense model gave for a task, so that a sweep computes it once for all of its settings.

Remembered are the states that enter the LM head, a few kilobytes for each token that is predicted, and for retrieval
the mean state of each text. An answer is found again by everything that the model has read since its cache was emptied,
because the last bits of an output depend on the pieces in which its context was read.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_in
from safetensors.torch import save as bytes_of
from torch import Tensor

from probes.models.devices import input_device
from probes.models.fingerprint import configuration, fingerprint
from probes.models.loaded import Loaded
from probes.schema.foreign_text import visible
from probes.system.cache_folder import signature_of

Place = str
"""Everything that was read since the cache was emptied: a hash, hex."""
START: Place = ""
_BYTES = 16
"""Of a hash; two of 10¹⁵ places are equal by chance less often than once in 10⁸."""
_DIGITS = 64
"""Of a SHA-256."""
_ABOUT = "dense side"
"""The only key of the metadata, so that equal answers are equal bytes."""


def after(place: Place, call: str, contexts: Sequence[Sequence[int]]) -> Place:
    """The place after another call that read these contexts."""
    text = json.dumps([place, call, [list(context) for context in contexts]], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=_BYTES).hexdigest()


class DenseSide:
    """Answers of one dense model, by the place at which it gave them."""

    def __init__(self, made_by: Mapping[str, str], note: str = "") -> None:
        """`made_by` names what the last bits of an answer depend on: the weights, the device, the threads."""
        self.made_by, self._note = dict(made_by), note
        self._states: dict[Place, Tensor] = {}
        self._sentences: dict[Place, str] = {}
        self.grown = False
        """Has anything been added since it was opened?"""
        self.unproven = 0
        """Outputs that were not remembered, because the LM head alone did not give their logits again bit for bit."""

    def __len__(self) -> int:
        return len(self._states) + len(self._sentences)

    def state(self, place: Place) -> Tensor | None:
        """The states that entered the LM head there, (rows, d), or a mean state, (d,); None if it is not known."""
        return self._states.get(place)

    def sentence(self, place: Place) -> str | None:
        """The text that was found there; None if it is not known."""
        return self._sentences.get(place)

    def add(self, place: Place, answer: Tensor | str) -> None:
        """Remembers an answer. Nobody may write into a given tensor afterwards."""
        if isinstance(answer, str):
            self._sentences[place] = answer
        else:
            self._states[place] = answer
        self.grown = True

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what could not be used or remembered."""
        found = [self._note]
        if self.unproven:
            found.append(
                f"{self.unproven:,} outputs of the dense model can't be made again from their states bit for bit, so "
                "each cell computes them itself."
            )
        return tuple(filter(None, found))

    def to_bytes(self) -> bytes:
        """All answers as a safetensors file, which `dense_side` opens."""
        states = {place: state.cpu().contiguous() for place, state in self._states.items()}
        about = json.dumps([self.made_by, self._sentences], sort_keys=True)
        return bytes_of(states, {_ABOUT: _digest(states, about) + about})


def dense_side(loaded: Loaded, kept: bytes = b"") -> DenseSide:
    """The dense side of a task for this model, with the answers that are kept. They are left out, with a note, if they
    are damaged or were computed by another model, on another kind of processor or with another number of threads.
    """
    made_by = _made_by(loaded)
    if not kept:
        return DenseSide(made_by)
    try:
        states, about = tensors_in(kept), _about(kept)
        there, sentences = json.loads(about[_DIGITS:])
        whole = about[:_DIGITS] == _digest(states, about[_DIGITS:])
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole, there, sentences, states = False, {}, {}, {}
    if not whole:
        return DenseSide(made_by, "The kept dense side is damaged, so it is computed again.")
    other = next((name for name in made_by if there.get(name) != made_by[name]), None)
    if other is not None:
        before, now = (visible(str(one.get(other, "unknown")), 40) for one in (there, made_by))
        note = f"The kept dense side has another {other} ({before}, not {now}), so it is computed again."
        return DenseSide(made_by, note)
    side = DenseSide(made_by)
    # A copy begins where the tensors of a pass do: kernels can give other bits for other alignments.
    side._states = {place: state.clone() for place, state in states.items()}
    side._sentences = sentences
    return side


def _made_by(loaded: Loaded) -> dict[str, str]:
    model, device = loaded.model, input_device(loaded.model)
    return {
        "dense model": _weights(loaded),
        "configuration": configuration(model),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": str(model.config._attn_implementation),
        "device": loaded.info.device,
        "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "number of threads": str(torch.get_num_threads()),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def _weights(loaded: Loaded) -> str:
    if found := loaded.info.fingerprint or fingerprint(loaded.model):
        return found
    # Some weights are in no memory, so the files stand for them; a model of no files is like no other.
    return signature_of(loaded.files) if loaded.files else uuid4().hex


@cache
def _processor() -> str:
    """The name of the CPU, and the instructions that torch uses of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(named, platform.processor() or platform.machine())}, {torch.backends.cpu.get_cpu_capability()}"


def _about(kept: bytes) -> str:
    """The metadata of a safetensors file: its header is a length of 8 bytes and so many bytes of JSON."""
    length = int.from_bytes(kept[:8], "little")
    found: str = json.loads(kept[8 : 8 + length])["__metadata__"][_ABOUT]
    return found


def _digest(states: Mapping[Place, Tensor], about: str) -> str:
    found = hashlib.sha256(about.encode())
    for place, state in sorted(states.items()):
        found.update(f"{place} {tuple(state.shape)} {state.dtype}\n".encode())
        found.update(state.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
