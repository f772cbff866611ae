"""Command lines that the help of each larger command begins with: what most people type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

EXAMPLES: Mapping[str, Sequence[str]] = {
    "phier-tui": (
        "phier-tui --tour",
        "phier-tui --prune wanda:0.5",
        "phier-tui --dense ./dense --pruned ./pruned",
    ),
    "run": (
        "phier run --prune wanda:0.5",
        "phier run --dense ./dense --pruned ./pruned --record run.jsonl",
    ),
    "prompt": ('phier prompt --prompt "What is the capital of France?"',),
    "explain": (
        "phier explain --prune wanda:0.5 --at 12",
        "phier explain --prune wanda:0.5 --span 5:12",
    ),
    "repair": (
        "phier repair --prune wanda:0.5 --at 12",
        "phier repair --prune wanda:0.5 --span 5:12 --target-kl 0.1",
    ),
    "tasks": ("phier tasks facts labels --prune wanda:0.5",),
    "verdict": (
        "phier verdict --prune wanda:0.5 --results wanda.jsonl",
        "phier verdict --results wanda.jsonl --margin 0.05",
    ),
    "sweep": (
        "phier sweep --settings 'wanda:{0.1..0.7/0.1}' --out sweep.jsonl",
        "phier sweep sweep.jsonl --export sweep.csv",
    ),
    "recommend": ("phier recommend --task facts --margin 0.1",),
    "score": ("phier score page.txt --prune wanda:0.5 --prune wanda:0.3",),
    "search": ("phier search page.txt --prune wanda:0.5",),
    "prune": ("phier prune --prune wanda:0.5 --out pruned",),
    "export": (
        "phier export run.jsonl --to html",
        "phier export run.jsonl --to csv --out tables/",
    ),
    "compare": ("phier compare one.jsonl other.jsonl",),
}
"""By the name of the command. Each is understood as it is."""
