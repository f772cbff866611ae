"""`python -m explorer.cli.toy`: the explorer on toy models, for people who work on its screens."""

from __future__ import annotations

import argparse

from explorer.sources.toy.source import QUESTION, ToySource
from explorer.ui.app import run_explorer
from probes.schema.settings import Follow, RunSettings, Sampling


def main() -> None:
    """Opens the explorer on a scripted run, for people who work on its screens."""
    parser = argparse.ArgumentParser(description="The explorer on toy models.")
    parser.add_argument("--pace", type=float, default=0.15, help="seconds a step")
    parser.add_argument("--follow", default="free", choices=[mode.value for mode in Follow])
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--setting", default="wanda:0.5")
    parser.add_argument("--replay", action="store_true", help="pretend to be a recording")
    asked = parser.parse_args()
    settings = RunSettings(
        QUESTION,
        follow=Follow(asked.follow),
        text="So she sold 72 clips." if asked.follow == "text" else "",
        sampling=Sampling(temperature=asked.temperature),
        steps=asked.steps,
    )
    run_explorer(ToySource(settings, setting=asked.setting, pace=asked.pace, live=not asked.replay))


if __name__ == "__main__":
    main()
