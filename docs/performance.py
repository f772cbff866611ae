"""Makes the tables of docs/performance.md: measures here, keeps what was found in docs/bench, and writes the page.

make performance        measures on a quiet machine, in some minutes
python docs/performance.py --kept    writes the page again from the file of this release
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
KEPT = ROOT / "docs" / "bench" / f"{VERSION}.json"
BENCHMARKS = ("steps", "profile", "growth")
Found = Mapping[str, Any]


def main() -> None:
    """Measures, unless the kept file is asked for, and writes the page."""
    if "--kept" not in sys.argv[1:]:
        found = {name: measured(name) for name in BENCHMARKS}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    PAGE.write_text(written(PAGE.read_text("utf-8"), json.loads(KEPT.read_text("utf-8"))), "utf-8")


def measured(benchmark: str) -> Found:
    """What `phier bench` finds here."""
    print(f"phier bench {benchmark}", file=sys.stderr, flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.json"
        program = [sys.executable, "-c", "from explorer.cli.main import phier; phier()"]
        subprocess.run(
            [*program, "bench", benchmark, "--json", str(file)], cwd=ROOT, stdout=subprocess.DEVNULL, check=True
        )
        found: Found = json.loads(file.read_text("utf-8"))
        return found


def written(page: str, found: Mapping[str, Found]) -> str:
    """The page with the tables of what was found between their marks."""
    steps = found["steps"]
    tables = {
        "machine": machine(steps),
        "steps": step_table(steps),
        "memory": memory_table(steps),
        "profile": profile_table(found["profile"]["profile"]),
        "growth": growth_table(found["growth"]),
    }
    for name, text in tables.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, mark, after = page.partition(begin)
        assert mark, f"{PAGE.name} has no mark for {name}"
        page = f"{before}{begin}{text}\n{end}{after.partition(end)[2]}"
    return page


def machine(steps: Found) -> str:
    where, versions = steps["machine"], steps["versions"]
    load = where.get("load_before")
    quiet = "" if load is None else f" The load average before it was {load:.1f}."
    if load is not None and load > 0.5 * where["cores"]:
        quiet += " **This was no quiet machine: other programs used the cores, so the figures say little.**"
    return (
        f"{steps['dense']} ⇄ {steps['pruned']}, {steps['parameters'] / 1e6:,.0f} million parameters each, on "
        f"{where['cores']} cores of {where['processor']}; torch {versions['torch']}, transformers "
        f"{versions['transformers']}, {steps['date'][:10]}. The command took {steps['seconds']:.0f} s.{quiet}"
    )


def step_table(steps: Found) -> str:
    floors = {one["bandwidth"]["threads"]: one["seconds"] for one in steps["floors"]}
    rows = []
    for one in steps["steps"]:
        floor = floors.get(one["threads"])
        rows.append(
            (
                one["follow"],
                one["overlap"],
                one["threads"],
                ms(one["bare_median"]),
                ms(one["measured_median"]),
                f"**{one['ratio']:.2f}**",
                "–" if floor is None else ms(floor),
                "–" if floor is None else f"{one['measured_median'] / floor:.2f}",
            )
        )
    heads = ("context", "overlap", "threads", "bare loop, ms", "step, ms", "step / bare", "floor, ms", "step / floor")
    said = [
        f"{one['bandwidth']['fastest'] / 1e9:.1f} GB/s with {one['bandwidth']['threads']} "
        f"thread{'s' if one['bandwidth']['threads'] > 1 else ''}"
        for one in steps["floors"]
    ]
    weights = steps["floors"][0]["weights"] / 1e6
    return f"{table(heads, rows)}\n\nA step reads {weights:,.0f} MB of weights; the memory gave {' and '.join(said)}."


def memory_table(steps: Found) -> str:
    plain = {one["follow"]: one["memory"] for one in steps["steps"] if one["overlap"] == "none" and one["memory"]}
    rows = [
        (
            one["follow"],
            one["overlap"],
            f"{one['memory'] / 1e6:,.0f}",
            f"{one['memory'] / plain[one['follow']]:.2f}" if one["follow"] in plain else "–",
        )
        for one in steps["steps"]
        if one["memory"]
    ]
    kept = steps["growth"]
    screens = [f"{one['width']} × {one['height']}: {one['step']:.1f} ms" for one in steps["interface"]]
    return (
        f"{table(('context', 'overlap', 'MB', 'times none'), rows)}\n\n"
        f"Each step keeps {kept['beyond_caches'] / 1000:.1f} kB beyond the KV caches, at a vocabulary of "
        f"{kept['vocabulary']:,}. Work of the screen for one more step after {steps['interface'][0]['steps']:,}, at "
        f"{', '.join(screens)}."
    )


def profile_table(profile: Found) -> str:
    names = ("seconds", "operators", "copies", "python")
    rows = [(one["part"], f"{one['share']:.1%}", *(ms(one[name], 2) for name in names)) for one in profile["parts"]]
    sums = {name: sum(one[name] for one in profile["parts"]) for name in names}
    rows.append(("**step**", "100.0%", *(ms(sums[name], 2) for name in names)))
    heads = ("part", "share", "ms", "in operators", "of these copies", "Python and the rest")
    return (
        f"{table(heads, rows)}\n\nMeans of {profile['steps']} steps, one pass after the other, {profile['threads']} "
        f"thread{'s' if profile['threads'] > 1 else ''}. Without the clocks a step took {ms(profile['unwatched'])} ms."
    )


def growth_table(growth: Found) -> str:
    rows = [
        (
            one["what"],
            one["over"],
            f"{one['sizes'][0]:,.0f} – {one['sizes'][-1]:,.0f}",
            f"{ms(one['seconds'][0], 2)} – {ms(one['seconds'][-1], 2)}",
            f"{one['fit']['exponent']:.2f}"
            + (f" ± {one['fit']['error']:.2f}" if one["fit"]["error"] is not None else ""),
            f"{one['limit']:g}",
            "yes" if one["within"] else "**no**",
        )
        for one in growth["curves"]
    ]
    heads = ("what", "over", "range", "ms", "exponent", "limit", "within")
    ratios = ", ".join(f"{what} {ratio:.1f} times" for what, ratio in growth["ratios"].items())
    return (
        f"{table(heads, rows)}\n\n`phier --help` took {growth['help_seconds']:.2f} s. With the most steps, in that: "
        f"{ratios}."
    )


def power(fit: Found) -> str:
    error = "" if fit["error"] is None else f" ± {fit['error']:.2f}"
    return f"{fit['exponent']:.2f}{error}"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def ms(seconds: float, digits: int = 1) -> str:
    return f"{1000 * seconds:,.{digits}f}"


if __name__ == "__main__":
    main()
