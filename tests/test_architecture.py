"""docs/architecture.md names every room and only files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NAMED = re.findall(r"`([\w./]+\.(?:py|md|html|css|js|toml))`", PAGE) + re.findall(r"\]\(([\w./]+)\)", PAGE)


def places(name: str) -> list[Path]:
    """The places of a name: beside the page, from the top, or in either package."""
    return [folder / name for folder in (ROOT / "docs", ROOT, ROOT / "explorer", ROOT / "probes", ROOT / "explorer/ui")]


def test_every_file_that_it_names_exists() -> None:
    beside = {path.name for folder in ("explorer", "probes") for path in (ROOT / folder).rglob("*.*")}
    gone = {
        name for name in NAMED if not any(map(Path.exists, places(name))) and not ("/" not in name and name in beside)
    }
    assert len(NAMED) > 80
    assert gone == set()


def test_every_folder_is_a_room_of_it() -> None:
    (drawing,) = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)
    for package in ("explorer", "probes"):
        rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
        inside = drawing.partition(f"{package}/ ")[2].partition("\n\n")[0]
        assert rooms == set(re.findall(r"^  (\w+)/ ", inside, re.MULTILINE))
