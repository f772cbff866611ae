"""The folders that a path may lead into, once a fence is set. Without one it may lead anywhere.

A program that is served to a browser sets its fence before anybody can type there: whoever may look at its recordings
need not be allowed to read every file of the user who runs it. All paths that people type pass
`probes.system.user_folders.expanded`, and all files that hold runs or results are opened through `inside`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible


@dataclass(frozen=True, slots=True)
class Fence:
    """Places of which everything in them may be used; a place can be a single file."""

    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    """Those that may be read only."""


_fence: Fence | None = None


def set_fence(writable: Sequence[Path], readable: Sequence[Path] = ()) -> None:
    """Allows only these places from here on, in the whole process. Links in their own paths are followed now."""
    global _fence
    _fence = Fence(tuple(map(_real, writable)), tuple(map(_real, readable)))


def remove_fence() -> None:
    """Allows every path again."""
    global _fence
    _fence = None


def is_fenced() -> bool:
    """May paths lead only into some folders?"""
    return _fence is not None


def inside(path: Path, *, to_write: bool = False) -> Path:
    """The path as it is; behind a fence, the place that its links and `..` lead to.

    Raises `BadInput` if that is not allowed, with the same sentence whether there is such a file or not.
    """
    if _fence is None:
        return path
    places = _fence.writable if to_write else (*_fence.writable, *_fence.readable)
    try:
        real = _real(path)
    except (OSError, RuntimeError, ValueError):  # links in a circle, or an impossible name
        real = None
    if real is None or not any(real.is_relative_to(place) for place in places):
        folders = ", ".join(visible(str(place)) for place in _fence.writable)
        raise BadInput(
            "Not served",
            f"{visible(str(path))} is in no folder that can be {'written' if to_write else 'used'} from a browser.",
            f"Use one of: {folders}. Who starts the server can allow more with --allow.",
        )
    return real


def _real(path: Path) -> Path:
    return path.resolve()
