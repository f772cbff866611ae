"""Makes the verdicts of docs/verdict.md with the demo model, in some minutes: tables, sentences and figures.

make verdicts

A stopped run goes on: the results are kept in build/verdicts.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "verdict.md"
PICTURES = ROOT / "docs" / "pictures"
KEPT = ROOT / "build" / "verdicts"
SETTINGS = ("wanda:0.5", "drop-attn:4")


def main() -> None:
    """Replaces what stands between the two marks of each setting on the page by what the command prints now."""
    KEPT.mkdir(parents=True, exist_ok=True)
    page = PAGE.read_text("utf-8")
    for setting in SETTINGS:
        name = re.sub(r"\W", "-", setting)
        picture = PICTURES / f"verdict-{name}.svg"
        words = ["verdict", "--prune", setting, "--results", f"{KEPT / name}.jsonl", "--export", str(picture)]
        print(f"phier {' '.join(words)}", file=sys.stderr, flush=True)  # noqa: T201
        done = subprocess.run(
            [sys.executable, "-c", "from explorer.cli.main import phier; phier()", *words],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "112"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        printed = "\n".join(line.rstrip() for line in done.stdout.splitlines())
        page = between(page, setting, f"```\n{printed}\n```")
    PAGE.write_text(page, "utf-8")


def between(page: str, setting: str, text: str) -> str:
    """The page with the text between the setting's marks."""
    begin, end = f"<!-- verdict {setting} -->\n", "<!-- end -->"
    before, found, after = page.partition(begin)
    assert found, f"{PAGE.name} has no mark for {setting}"
    assert end in after, f"the verdict of {setting} has no end in {PAGE.name}"
    return f"{before}{begin}{text}\n{end}{after.partition(end)[2]}"


if __name__ == "__main__":
    main()
