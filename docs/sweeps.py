"""Makes the two figures of docs/sweep.md with the demo model, in some hours: Wanda and dropped attention layers.

make sweeps

A stopped run goes on: the sweep is kept in build/sweeps, or in the file that SWEEP names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "sweep.md"
PICTURE = ROOT / "docs" / "pictures" / "sweep.svg"
"""Each family's figure has its name added."""
KEPT = Path(os.environ.get("SWEEP", ROOT / "build" / "sweeps" / "ladder.jsonl"))
SETTINGS = ("wanda:{0.1..0.7/0.1}", "drop-attn:{1..8}")
FIGURES = {"wanda": "Wanda from 10 to 70 %", "drop-attn": "One to eight attention layers dropped"}
MARGIN = "0.1"
"""With about a hundred items a task, a margin of 2 points would decide nothing."""
BEGIN, END = "<!-- ladder -->\n", "<!-- end of ladder -->"


def main() -> None:
    """Computes the sweep, draws it, and replaces what is between the two marks of the page by what was found."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    asked = [word for text in SETTINGS for word in ("--settings", text)]
    printed = phier("sweep", *asked, "--margin", MARGIN, "--out", str(KEPT))
    phier("sweep", str(KEPT), "--export", str(PICTURE))
    pictures = [
        f"![{title}: points lost by each task, and each task's score with its knee](pictures/sweep-{name}.svg)"
        for name, title in FIGURES.items()
    ]
    page = PAGE.read_text("utf-8")
    before, found, after = page.partition(BEGIN)
    assert found, f"{PAGE.name} has no mark"
    assert END in after, f"the ladder has no end in {PAGE.name}"
    table = "\n".join(line.rstrip() for line in printed.splitlines())
    text = "\n\n".join((*pictures, f"```\n{table}\n```"))
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n{END}{after.partition(END)[2]}", "utf-8")


def phier(*words: str) -> str:
    """Runs the command, and gives what it printed."""
    print(f"phier {' '.join(words)}", file=sys.stderr, flush=True)  # noqa: T201
    return subprocess.run(
        [sys.executable, "-c", "from explorer.cli.main import phier; phier()", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "112"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


if __name__ == "__main__":
    main()
