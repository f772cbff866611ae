"""Keeps the noise floor of a pair in the cache folder, so that it is measured once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch
from transformers import PreTrainedModel

from probes.explain.noise import MOST_POSITIONS, measure_noise
from probes.models.fingerprint import configuration, fingerprint
from probes.schema.as_json import json_of
from probes.schema.noise_floor import NoiseFloor
from probes.system.cache_folder import Unkept, keeping
from probes.system.files import replace_file
from probes.system.progress import UNWATCHED, Work
from probes.system.user_folders import cache_folder

_VERSION = 1
"""Increased when a change of the program changes a floor."""
_unwritten: dict[str, NoiseFloor] = {}
"""Floors that could not be written, by the name of their file, for later use in this process."""


def noise_floor(
    model: PreTrainedModel,
    context: Sequence[int],
    *,
    mark: str = "",
    vocabulary: int | None = None,
    temperature: float = 1.0,
    work: Work = UNWATCHED,
) -> tuple[NoiseFloor, tuple[str, ...]]:
    """The floor of a pair whose dense model this is, and sentences about it: kept, or measured on this context.

    `mark` is the fingerprint of the weights; without it, they are hashed. A floor is kept for these weights, their
    number format, device, number of threads, attention kernel and temperature, and for the versions of torch and
    transformers. It is measured again if this context has more than twice its positions. A cache folder that can't be
    read or written is a sentence. Raises what `measure_noise` raises.
    """
    mark = mark or fingerprint(model)
    place = _place(model, mark, vocabulary, temperature) if mark else None
    notes: list[str] = []
    if place is not None:
        found, note = _kept(place)
        notes += filter(None, [note])
        if found is not None and 2 * found.steps >= min(MOST_POSITIONS, len(context)):
            return found, tuple(notes)
    floor = measure_noise(model, context, vocabulary=vocabulary, temperature=temperature, work=work)
    if place is None:
        notes.append("The noise floor is not kept, because weights are not in memory and can't be told from others.")
    else:
        notes += filter(None, [_keep(place, floor)])
    return floor, tuple(notes)


def _place(model: PreTrainedModel, mark: str, vocabulary: int | None, temperature: float) -> Path:
    device = model.device
    depends = [
        *(_VERSION, mark, configuration(model), vocabulary, temperature, str(model.dtype), str(device)),
        *(version("torch"), version("transformers"), model.config._attn_implementation),
        torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability(),
        *(torch.get_num_threads(), os.cpu_count()),
    ]
    return cache_folder() / "noise" / f"{hashlib.sha256(json.dumps(depends).encode()).hexdigest()}.json"


def _kept(place: Path) -> tuple[NoiseFloor | None, str]:
    """The floor in a file, and a sentence if it is damaged."""
    try:
        return msgspec.json.decode(place.read_bytes(), type=NoiseFloor), ""
    except (FileNotFoundError, NotADirectoryError):
        return _unwritten.get(place.name), ""
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is damaged"
        note = f"The kept noise floor in {place} could not be read ({reason}), so it was measured again."
        return _unwritten.get(place.name), note


def _keep(place: Path, floor: NoiseFloor) -> str:
    """Keeps a floor; a sentence if that failed."""
    try:
        with keeping():
            replace_file(place, json_of(floor).decode())
    except Unkept as problem:
        _unwritten[place.name] = floor
        return problem.message
    return ""
