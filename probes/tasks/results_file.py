"""Keeps results of items in a JSON Lines file, so that a stopped run goes on and a verdict needs no model.

Its first line names everything that the results depend on: models, setting, calibration, options, versions. Then come
the items of each task, and a line for each result as soon as it is known. A file holds one setting's results only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from probes.recording.finding_lines import value_from
from probes.schema.as_json import json_of
from probes.schema.errors import BadInput, Failure
from probes.schema.flat_step import to_jsonable
from probes.schema.foreign_text import said, visible
from probes.schema.items import ItemSet
from probes.schema.task_options import TASK_DEFAULTS, TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.schema.verdict import TaskResults
from probes.system.fence import inside

if TYPE_CHECKING:
    from probes.pair import Pair

FORMAT = 1
"""The version of the format; a file of a later one is refused."""
Kept = ItemSet | ItemResult | Similarities
_KINDS: Mapping[str, type[Kept]] = {"items": ItemSet, "result": ItemResult, "similarities": Similarities}
_OTHER_FILE = "Name another file, or delete this one."


@dataclass(frozen=True, slots=True)
class ResultsHeader:
    """The first line of a results file."""

    dense: str
    """The models' names."""
    pruned: str
    setting: str
    """The prune setting, or "" for a model made elsewhere."""
    depends_on: dict[str, str]
    """What else the results depend on, by name: "dense weights", "mask", "calibration", "dtype", "torch"."""
    started: str = ""
    """ISO 8601, UTC."""
    notes: tuple[str, ...] = ()
    """Sentences about the two models."""


@dataclass(frozen=True, slots=True)
class KeptResults:
    """Everything that a results file holds."""

    header: ResultsHeader
    item_sets: tuple[ItemSet, ...] = ()
    results: tuple[ItemResult, ...] = ()
    similarities: tuple[Similarities, ...] = ()
    torn: bool = False
    """Was the last line incomplete, so that it is left out?"""

    @property
    def found(self) -> TaskResults:
        """The results as `judge` takes them."""
        header = self.header
        return TaskResults(header.dense, header.pruned, header.setting, self.results, self.similarities)


class OtherItems(BadInput):
    """A file has results of an item set of the same name with other items."""


def results_header(pair: Pair, options: TaskOptions = TASK_DEFAULTS) -> ResultsHeader:
    """What the results of this pair depend on, besides the items."""
    dense, pruned, report = pair.dense.info, pair.pruned.info, pair.report
    made = report.calibration if report else None
    depends_on = {
        "dense weights": dense.fingerprint or dense.spec,
        "pruned weights": pruned.fingerprint,
        "mask": report.mask_hash if report else "",
        "calibration": made.sha256 if made else "",
        "dtype": dense.dtype if dense.dtype == pruned.dtype else f"{dense.dtype} and {pruned.dtype}",
        "device": dense.device,
        **{name.replace("_", " "): str(value) for name, value in asdict(options).items()},
        **{name: version(name) for name in ("phier", "torch", "transformers")},
    }
    started = datetime.now(UTC).isoformat(timespec="seconds")
    setting = report.setting if report else ""
    notes = (*pair.every_warning, *pair.every_note)
    return ResultsHeader(dense.name, pruned.name, setting, depends_on, started, notes)


def read_results(path: Path | str) -> KeptResults:
    """Reads a results file. An incomplete last line, as a killed program leaves it, is left out.

    Raises `BadInput` if there is no such file, if it is no results file, or if a line of it can't be read.
    """
    return _read(Path(path), _content(Path(path)))[0]


class ResultsFile:
    """Appends results to a file; `kept` is what it held before and holds now."""

    def __init__(self, path: Path | None, handle: int, kept: KeptResults) -> None:
        """`results_file` opens it. Without a path, results are in memory only."""
        self.path, self.kept, self._handle = path, kept, handle

    @property
    def known(self) -> frozenset[tuple[str, str]]:
        """The items whose results are there: task and item."""
        return frozenset((one.task, one.item) for one in self.kept.results)

    def take(self, item_sets: Sequence[ItemSet]) -> None:
        """Adds the item sets that are not there yet.

        Raises `BadInput` if one of the same name has other items: results of both must not be mixed.
        """
        there = {items.name: items for items in self.kept.item_sets}
        for items in item_sets:
            known = there.get(items.name)
            if known is not None and replace(known, notes=()) != replace(items, notes=()):
                assert self.path is not None
                raise OtherItems(
                    "Other items",
                    f"{_shown(self.path)} has results of other items, or of other wording, that are also named "
                    f"{visible(items.name, 60)}.",
                    _OTHER_FILE,
                )
        for items in item_sets:
            if items.name not in there:
                self.add(items)

    def add(self, found: Kept) -> None:
        """Appends one line, whole or not at all. Raises `Failure` if it can't be written."""
        if self.path is not None:
            self._append(self.path, found)
        if isinstance(found, ItemSet):
            self.kept = replace(self.kept, item_sets=(*self.kept.item_sets, found))
        elif isinstance(found, ItemResult):
            self.kept = replace(self.kept, results=(*self.kept.results, found))
        else:
            self.kept = replace(self.kept, similarities=(*self.kept.similarities, found))

    def _append(self, path: Path, found: Kept) -> None:
        plain = to_jsonable(found)
        odd = {"nonfinite": plain.pop("nonfinite")} if "nonfinite" in plain else {}
        kind = next(name for name, kind in _KINDS.items() if isinstance(found, kind))
        end = os.fstat(self._handle).st_size
        try:
            _write(self._handle, _line(kind, {"found": plain, **odd}))
        except OSError as problem:
            os.ftruncate(self._handle, end)
            raise _failure(path, problem) from problem


@contextmanager
def results_file(path: Path | None, header: ResultsHeader) -> Iterator[ResultsFile]:
    """Opens a results file to append to it, and begins it if it is new or empty. Without a path, results are in memory.

    While it is open no other program can open it so. An incomplete last line is removed. Raises `BadInput` if it
    belongs to other models, settings or versions, saying which, if another program writes it, or if it is no results
    file; `Failure` if it can't be written.
    """
    if path is None:
        yield ResultsFile(None, -1, KeptResults(header))
        return
    inside(path, to_write=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise _failure(path, problem) from problem
    try:
        _lock(handle, path)
        content = _content(path)
        if content.strip():
            kept, whole = _read(path, content)
            _check_same(path, kept.header, header)
            os.ftruncate(handle, whole)
        else:
            kept = KeptResults(header)
            _begin(handle, path, header)
        yield ResultsFile(path, handle, replace(kept, torn=False))
    finally:
        os.close(handle)


def check_results(path: Path, item_sets: Iterable[ItemSet], setting: str) -> None:
    """Raises `BadInput` before any model is loaded if a file that is there can't be continued: other items, another
    setting ("" for a model made elsewhere), no results file."""
    if not path.exists():
        return
    content = _content(path)
    if content.strip():
        kept, _ = _read(path, content)
        _check_same(path, kept.header, replace(kept.header, setting=setting))
        ResultsFile(path, -1, kept).take([one for one in item_sets if one.name in {it.name for it in kept.item_sets}])


def _begin(handle: int, path: Path, header: ResultsHeader) -> None:
    try:
        os.ftruncate(handle, 0)
        _write(handle, _line("results", {"format": FORMAT, **to_jsonable(header)}))
    except OSError as problem:
        raise _failure(path, problem) from problem


def _lock(handle: int, path: Path) -> None:
    """The system releases the lock with the file, however the program ends."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        raise BadInput(
            "Results in use",
            f"Another program is writing {_shown(path)} now.",
            "Wait until it has ended, or name another file.",
        ) from problem


def _line(kind: str, plain: dict[str, Any]) -> bytes:
    return json_of({"kind": kind, **plain}) + b"\n"


def _write(handle: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _content(path: Path) -> bytes:
    try:
        return inside(path).read_bytes()
    except OSError as problem:
        reason = "it is a folder" if path.is_dir() else problem.strerror or str(problem)
        raise BadInput("Results", f"{_shown(path)} can't be read: {reason}.", "Name a results file.") from problem


def _read(path: Path, content: bytes) -> tuple[KeptResults, int]:
    """What a file holds, and how many bytes of it are whole lines."""
    whole = content.rfind(b"\n") + 1
    lines = content[:whole].split(b"\n")[:-1]
    if not lines:
        raise BadInput("Results", f"{_shown(path)} is no results file.", "Name one that --results has made.")
    header = _header(path, lines[0])
    kept: dict[type[Kept], list[Any]] = {kind: [] for kind in _KINDS.values()}
    for number, line in enumerate(lines[1:], 2):
        try:
            plain = msgspec.json.decode(line, type=dict[str, Any])
            kind = _KINDS[plain["kind"]]
            kept[kind].append(value_from(kind, plain["found"], plain.get("nonfinite", {})))
        except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise BadInput(
                "Results",
                f"Line {number} of {_shown(path)} can't be read: {said(problem, 200)}",
                "Delete that line: its item is then scored again.",
            ) from None
    made = KeptResults(
        header, tuple(kept[ItemSet]), tuple(kept[ItemResult]), tuple(kept[Similarities]), whole < len(content)
    )
    return made, whole


def _header(path: Path, line: bytes) -> ResultsHeader:
    try:
        plain = msgspec.json.decode(line, type=dict[str, Any])
        if plain.get("kind") != "results":
            raise ValueError("its first line is not that of one")
        if not isinstance(there := plain.get("format"), int) or there > FORMAT:
            newer = f"{_shown(path)} has format {there}, and this version reads up to {FORMAT}."
            raise BadInput("Newer results", newer, "Use a newer version of phier.")
        return value_from(ResultsHeader, plain, {})
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as problem:
        what = f"{_shown(path)} is no results file: {said(problem, 200)}"
        raise BadInput("Results", what, "Name one that --results has made.") from None


_LONG = 40
"""Characters of a value that are shown where two differ."""


def _check_same(path: Path, there: ResultsHeader, now: ResultsHeader) -> None:
    """Raises `BadInput` if the file's results were made otherwise, naming the first thing that differs."""
    pairs = [("dense model", there.dense, now.dense), ("setting", there.setting, now.setting)]
    pairs.append(("pruned model", there.pruned, now.pruned))
    names = dict.fromkeys((*there.depends_on, *now.depends_on))
    pairs += [(name, there.depends_on.get(name, ""), now.depends_on.get(name, "")) for name in names]
    for name, before, after in pairs:
        if before != after:
            raise BadInput(
                "Other results",
                f"{_shown(path)} has results of another {visible(name, _LONG)}: {_value(before)}, not {_value(after)}.",
                f"Results are not mixed. {_OTHER_FILE}",
            )


def _value(text: str) -> str:
    return visible(text, _LONG) or "none"


def _shown(path: Path) -> str:
    return visible(str(path))


def _failure(path: Path, problem: OSError) -> Failure:
    reason = "it is a folder" if isinstance(problem, IsADirectoryError) else problem.strerror or str(problem)
    return Failure("Can't write", f"{_shown(path)} can't be written: {reason}.", "Name another file.")
