"""Converts a GGUF file to safetensors once, with transformers' GGUF support, and keeps the copy.

Reading a GGUF file takes tens of seconds, reading the copy less than one. The conversion runs in a separate process: it
can be stopped at once, frees all its memory, and never blocks an interface.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from pathlib import Path

import psutil

from probes.models.gguf_header import count_weights
from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import visible
from probes.system import subprocesses as child
from probes.system.cache_folder import sha256
from probes.system.kept_folder import keep, kept_or_temporary
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

_ERROR = re.compile(r"^[\w.]*(Error|Exception): ")
_BAR = re.compile(r"([A-Z][^:\r\n]*):[^\r\n]*?\b(\d+)/(\d+) \[")
"""The text of transformers' progress bars: "Loading weights: 12%|# | 33/272 [00:01<…"."""


def converted(
    source: Path, dtype: str, work: Work, *, name: str = "", digest: str = "", thorough: bool = False
) -> Path:
    """The folder with `source` as safetensors of this dtype, its tokenizer and its chat template.

    The copy is identified by the SHA-256 of the file (`digest`, if the caller knows it), and is made again if it is
    missing or damaged. `dtype` is a torch name: dequantised weights are exact in "float32" and rounded in any other.
    Raises `BadInput` if transformers can't read the file.
    """
    name = name or source.stem
    digest = digest or sha256(source, work, f"Reading {visible(source.name, 100)}")
    folder = kept_folder(name, digest, dtype)
    task = f"Converting {name} (once)"

    def build(part: Path) -> None:
        _check_memory(source)
        size = _copy_bytes(source, dtype)
        if shutil.disk_usage(part).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        log = part.with_name(part.name + ".log")
        try:
            ended = child.run(
                [sys.executable, "-P", "-m", "probes.models.gguf_convert", str(source), str(part), dtype],
                work,
                task,
                log=log,
                environment={"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
                watch=lambda: _report(log, part, size, work, task),
            )
        finally:
            log.unlink(missing_ok=True)
        if ended.code == child.UNWRITTEN:
            raise OSError(ended.last_words)
        if ended.code:
            raise _unconverted(source, visible(_ERROR.sub("", ended.last_words), 600))

    return kept_or_temporary(folder, lambda there: keep(there, build, work, task, thorough=thorough), work)


def kept_folder(name: str, digest: str, dtype: str) -> Path:
    """The folder for the copy of a file with this SHA-256."""
    return cache_folder() / "models" / f"{name}-{dtype}-{digest[:16]}"


def _unconverted(source: Path, why: str) -> BadInput:
    return BadInput(
        "GGUF file",
        f"{visible(str(source))} could not be converted: {why}",
        "Name another file, or a folder with the model's safetensors weights.",
    )


def _check_memory(source: Path) -> None:
    """Raises `Failure` unless the weights fit into memory as float32, the dtype of the conversion, and `BadInput` if
    the file's header is damaged: the conversion would report that half a minute later."""
    try:
        needed = 4 * count_weights(source)
    except ValueError as problem:
        raise _unconverted(source, str(problem)) from problem
    free = psutil.virtual_memory().available
    if needed > free:
        raise Failure(
            "Out of memory",
            f"Converting {visible(source.name, 100)} takes {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB "
            "are free.",
            "Close other programs, or name a folder with the model's safetensors weights.",
        )


def _copy_bytes(source: Path, dtype: str) -> int:
    """Bytes of the weights as safetensors of this dtype; the file's own size if its header can't be read."""
    try:
        return count_weights(source) * {"float64": 8, "float32": 4}.get(dtype, 2)
    except ValueError:
        return source.stat().st_size


def _report(log: Path, part: Path, size: int, work: Work, task: str) -> None:
    if written := sum(path.stat().st_size for path in part.glob("*.safetensors")):
        work.report(f"{task}: writing", min(written, size), size, "bytes")
        return
    bars = _BAR.findall(log.read_text("utf-8", "replace")[-4000:])
    done, total = (int(bars[-1][1]), int(bars[-1][2])) if bars else (None, None)
    # A full bar does not mean that the conversion is done, so it is shown as work without a total.
    work.report(task, done, total, "tensors") if done != total else work.report(task)
