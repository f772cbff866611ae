"""Finds the folder of the named model, and downloads it if needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm.std import tqdm

from probes.models import demo
from probes.models.adapter import is_weights
from probes.models.gguf import converted
from probes.models.naming import name_of, revision_of
from probes.models.spec_check import LOCAL, LONGEST_SPEC, check_spec, hub_hint
from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import said, visible
from probes.schema.spec import LoadOptions
from probes.system.progress import Work

_TRANSPORT: tuple[type[Exception], ...] = (OfflineModeIsEnabled, OSError, *HfHubHTTPError.__bases__[:1])
"""Network errors that the hub's client passes on. The last one is its HTTP library's, which depends on the client's
version."""


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A folder with a model's files."""

    folder: Path
    name: str
    """The short name in titles."""
    revision: str = ""
    """The commit on the hub; "" for any other model."""


def locate(
    spec: str, options: LoadOptions, work: Work, *, gguf_dtype: str, thorough: bool = False, weights: bool = True
) -> LocatedModel:
    """The folder of "demo", of a local folder or .gguf file, or of a hub id ("owner/name", "owner/name@revision").

    Without `weights`, those of a hub id are not downloaded. A hub id that is in the hub's cache needs no network if
    HF_HUB_OFFLINE is set or the hub can't be reached.
    Raises `BadInput` if there is no such model and `Failure` if it can't be downloaded.
    """
    path = check_spec(spec)
    if spec == "demo":
        return LocatedModel(demo.demo_folder(work, dtype=gguf_dtype, thorough=thorough), demo.NAME)
    if path is not None and path.is_dir():
        single = _only_gguf(path)
        if single is None:
            return LocatedModel(path, name_of(spec), revision_of(path))
        path = single
    if path is not None:
        path = path.absolute()  # the link, not its target, which may be named by a hash
        return LocatedModel(converted(path, gguf_dtype, work, thorough=thorough), name_of(str(path)))
    return _from_hub(spec, options, work, weights)


def read_config(folder: Path) -> dict[str, object]:
    """The folder's config.json. Raises `BadInput` if it is missing or not a model's."""
    file = folder / "config.json"
    try:
        found = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        names = ", ".join(visible(name, 100) for name in sorted(path.name for path in folder.iterdir())[:5])
        lacks = f"{visible(str(folder))} has no config.json; it holds {names or 'nothing'}."
        raise BadInput("Not a model", lacks, LOCAL) from None
    except (OSError, ValueError, RecursionError) as problem:
        raise BadInput("Not a model", f"{visible(str(file))} can't be read: {said(problem)}", LOCAL) from problem
    if not isinstance(found, dict):
        raise BadInput("Not a model", f"{visible(str(file))} is not a model's configuration.", LOCAL)
    return found


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files of the weights: those in the index if there is one. safetensors are preferred to pickles."""
    for name, pattern in (("model.safetensors", "*.safetensors"), ("pytorch_model.bin", "*.bin")):
        index = folder / f"{name}.index.json"
        if (folder / name).exists():
            return (folder / name,)
        if index.exists():
            return _named_in(index)
        if found := tuple(path for path in sorted(folder.glob(pattern)) if is_weights(path)):
            return found
    return ()


def _named_in(index: Path) -> tuple[Path, ...]:
    """The files that an index of shards names."""
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        files = tuple(index.parent / name for name in names)
        absent = [file for file in files if not file.is_file()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        unread = f"{visible(str(index))} can't be read: {said(problem)}"
        raise BadInput("Broken index", unread, "Download it again.") from problem
    if absent:
        folder, name = visible(str(index.parent)), visible(str(absent[0].relative_to(index.parent)), 200)
        raise BadInput("Weights missing", f"{folder} has no {name}.", "Download the missing files.")
    return files


def _only_gguf(folder: Path) -> Path | None:
    """The .gguf file of a folder without a config.json. Raises `BadInput` if there are several."""
    if (folder / "config.json").exists():
        return None
    files = sorted(folder.glob("*.gguf"))
    if len(files) > 1:
        names = ", ".join(visible(file.name, 100) for file in files[:5])
        raise BadInput("Which file?", f"{visible(str(folder))} holds several GGUF files: {names}.", "Name one of them.")
    return files[0] if files else None


def _from_hub(spec: str, options: LoadOptions, work: Work, weights: bool) -> LocatedModel:
    name, _, revision = spec.partition("@")
    task = f"Downloading {name}"
    wanted = ["*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken"]
    wanted += ["*.safetensors"] if weights else []
    wanted += ["*.bin"] if weights and options.allow_pickle else []
    wanted += ["*.py"] if options.trust_remote_code else []

    received: dict[int, float] = {}

    class Bar(tqdm):  # type: ignore[misc]  # tqdm ships no types
        """Reports the received bytes instead of drawing a bar."""

        def __init__(self, *args: object, **kwargs: object) -> None:
            self._bytes = kwargs.get("unit") == "B"
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            work.check(task)
            if self._bytes:
                # The hub has one bar for received and one for written bytes; the larger number is shown.
                received[id(self)] = received.get(id(self), 0) + (n or 0)
                work.report(task, max(received.values()), self.total or None, "bytes")

    hint = hub_hint(spec)
    work.report(task)
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=wanted,
            ignore_patterns=["*/*.safetensors", "*/*.bin"],
            local_files_only=constants.HF_HUB_OFFLINE,
            tqdm_class=Bar,
        )
    except HFValidationError as problem:
        raise BadInput(
            "Model not found", f"{visible(spec, LONGEST_SPEC)} is not a file, folder or hub id.", hint
        ) from problem
    except GatedRepoError as problem:
        raise BadInput(
            "Model is gated",
            f"You must first accept the terms of {name} on the hub.",
            "Accept them there, then log in with `hf auth login`.",
        ) from problem
    except RevisionNotFoundError as problem:
        raise BadInput("Model not found", f"{name} has no revision {revision}.", hint) from problem
    except RepositoryNotFoundError as problem:
        raise BadInput("Model not found", f"The hub has no model {name}, or it is private.", hint) from problem
    except LocalEntryNotFoundError as problem:
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub can't be reached"
        raise Failure("Model not downloaded", f"{name} is not in the hub's cache, and {offline}.", hint) from problem
    except _TRANSPORT as problem:
        raise Failure("Model not downloaded", f"{name} could not be downloaded: {said(problem)}", hint) from problem
    return LocatedModel(Path(folder), name.rsplit("/", 1)[-1], revision=Path(folder).name)
