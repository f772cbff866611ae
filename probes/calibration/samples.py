"""Gets the calibration data as token ids: text that the model writes, a text file, JSON Lines, or a data set.

`python -m probes.calibration.samples` writes the ids that ship for the demo model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from probes.calibration import own_text
from probes.calibration.texts import read_texts
from probes.calibration.windows import windows
from probes.models.fingerprint import configuration
from probes.models.loaded import Loaded, load, with_fingerprint
from probes.schema.errors import BadInput
from probes.schema.header import Calibration
from probes.schema.spec import CalibrationSpec
from probes.system.cache_folder import Unkept
from probes.system.kept_folder import keep
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

SAMPLES, LENGTH = 32, 128
"""The default number of samples, and tokens of each."""
_IDS = "ids.npy"


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSamples:
    """The calibration data of a setting."""

    ids: Tensor
    """(samples, length) token ids, int64, on the CPU."""
    info: Calibration
    """The description of these samples in a recording."""


def samples(wanted: CalibrationSpec, dense: Loaded, work: Work | None = None) -> CalibrationSamples:
    """Reads or writes the calibration text, as ids of the dense model's tokenizer.

    The model's own text is written once for a model, number, length and seed, and then kept; the demo model's is
    included. A given text is cut into consecutive windows from its beginning, or with a seed, into windows at random
    places. If there is less text or context than the defaults need, less is taken, with a note in `work`. Raises
    `BadInput` if the text can't be read, or if the text or the context is too short for the requested samples.
    """
    work = work or Work()
    number, length = wanted.samples or SAMPLES, _length(wanted.length, dense, work)
    if wanted.source in ("", "self"):
        source, ids = _own(dense, number, length, wanted.seed or 0, work)
        return _described(ids, source, wanted.seed or 0)
    texts = read_texts(wanted.source, work)
    ids = windows(texts, dense.tokenizer, number, length, wanted.seed, fewer=not wanted.samples)
    if len(ids) < number:
        work.note(
            f"The calibration text is short: it gives {len(ids):,} samples of {length:,} tokens; the default is "
            f"{number:,}."
        )
    return _described(ids, wanted.source, wanted.seed)


def _length(asked: int, dense: Loaded, work: Work) -> int:
    """Tokens of a sample: the requested number, or the default, limited by the model's context."""
    longest = getattr(dense.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
    if not isinstance(longest, int) or longest < 1:
        return asked or LENGTH
    if asked > longest:
        raise BadInput(
            "Calibration",
            f"{asked:,} tokens are more than the model's context of {longest:,}.",
            f"Use a --length of at most {longest:,}.",
        )
    if not asked and longest < LENGTH:
        work.note(f"Calibration samples have {longest:,} tokens, the model's whole context; the default is {LENGTH}.")
    return asked or min(LENGTH, longest)


def _described(ids: Tensor, source: str, seed: int | None) -> CalibrationSamples:
    digest = hashlib.sha256(f"{tuple(ids.shape)}".encode() + ids.numpy().astype("<i8").tobytes()).hexdigest()
    return CalibrationSamples(ids, Calibration(source, ids.shape[0], ids.shape[1], seed, digest))


def _own(dense: Loaded, number: int, length: int, seed: int, work: Work) -> tuple[str, Tensor]:
    """The model's own text and its source: shipped, kept, or written now."""
    if dense.info.spec == "demo":
        ids = own_text.shipped(seed, number, length)
        if ids is not None:
            return "demo", ids
    begin = own_text.begin_id(dense.tokenizer)
    mark = with_fingerprint(dense).info.fingerprint
    if not mark:
        return "self", own_text.write_own_text(dense.model, begin, number, length, seed, work)
    writer = f"{mark} {configuration(dense.model)} {begin}"
    key = hashlib.sha256(f"{writer} {number} {length} {seed} {own_text.recipe()}".encode()).hexdigest()
    place = cache_folder() / "calibration" / key

    written: list[Tensor] = []

    def build(folder: Path) -> None:
        written.append(own_text.write_own_text(dense.model, begin, number, length, seed, work))
        np.save(folder / _IDS, written[0].numpy().astype(np.int32), allow_pickle=False)

    try:
        keep(place, build, work, own_text.WRITING)
        return "self", torch.from_numpy(np.load(place / _IDS, allow_pickle=False).astype(np.int64))
    except Unkept as problem:
        work.note(problem.message)
    return "self", written[0] if written else own_text.write_own_text(dense.model, begin, number, length, seed, work)


def _ship(number: int = 64, length: int = 256, seed: int = 0) -> Path:
    """Writes the demo model's text, a file of the package."""
    demo = load("demo")
    ids = own_text.write_own_text(demo.model, own_text.begin_id(demo.tokenizer), number, length, seed, Work())
    path = Path(__file__).with_name(own_text.SHIPPED)
    path.write_bytes(own_text.ship(ids, seed))
    return path


if __name__ == "__main__":
    print(_ship())  # noqa: T201 - a command that says what it wrote
