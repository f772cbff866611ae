"""GGUF files: a safetensors copy of each is kept, made once by transformers' own GGUF support.

Reading a GGUF takes tens of seconds and the copy a fraction of one. The conversion runs in a process of its own: it
can then be stopped at once, leaves no memory behind, and never holds up an interface.
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
"""A progress bar's text, as transformers draws it: "Loading weights:  12%|#   | 33/272 [00:01<…"."""


def converted(
    source: Path, dtype: str, work: Work, *, name: str = "", digest: str = "", thorough: bool = False
) -> Path:
    """The folder that holds `source` as safetensors of this dtype, with its tokenizer and chat template.

    The copy belongs to the file's content, known by its SHA-256 (`digest`, where the caller has it already), and is
    made anew where it is missing or damaged. `dtype` is a torch name: dequantised weights are stored exactly in
    "float32" and rounded in any other. Raises `BadInput` where transformers can't read the file.
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
                watch=lambda: _tell(log, part, size, work, task),
            )
        finally:
            log.unlink(missing_ok=True)
        if ended.code == child.UNWRITTEN:
            raise OSError(ended.last_words)
        if ended.code:
            raise _unconverted(source, visible(_ERROR.sub("", ended.last_words), 600))

    return kept_or_temporary(folder, lambda there: keep(there, build, work, task, thorough=thorough), work)


def kept_folder(name: str, digest: str, dtype: str) -> Path:
    """Where the copy of a file with this content belongs."""
    return cache_folder() / "models" / f"{name}-{dtype}-{digest[:16]}"


def _unconverted(source: Path, why: str) -> BadInput:
    return BadInput(
        "GGUF file",
        f"{visible(str(source))} could not be converted: {why}",
        "Name another file, or a folder with the model's safetensors weights.",
    )


def _check_memory(source: Path) -> None:
    """Raises `Failure` unless the weights fit into memory as float32, as they are while being converted, and `BadInput`
    if the file's header is damaged, which the conversion would say half a minute later."""
    try:
        needed = 4 * count_weights(source)
    except ValueError as problem:
        raise _unconverted(source, str(problem)) from problem
    free = psutil.virtual_memory().available
    if needed > free:
        raise Failure(
            "Out of memory",
            f"Converting {visible(source.name, 100)} takes {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB "
            "are free.",
            "Close other programs, or name a folder with the model's safetensors weights.",
        )


def _copy_bytes(source: Path, dtype: str) -> int:
    """What the weights take as safetensors of this dtype; the file's own size if its header can't be read."""
    try:
        return count_weights(source) * {"float64": 8, "float32": 4}.get(dtype, 2)
    except ValueError:
        return source.stat().st_size


def _tell(log: Path, part: Path, size: int, work: Work, task: str) -> None:
    if written := sum(path.stat().st_size for path in part.glob("*.safetensors")):
        work.report(f"{task}: writing", min(written, size), size, "bytes")
        return
    bars = _BAR.findall(log.read_text("utf-8", "replace")[-4000:])
    done, total = (int(bars[-1][1]), int(bars[-1][2])) if bars else (None, None)
    # A finished bar is not a finished conversion: reading the header shows none.
    work.report(task, done, total, "tensors") if done != total else work.report(task)
