"""What `phier explain` and `phier repair` do alike: both load a pair and step it as far as the steps to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.cli.options import Typed
from explorer.cli.read_options import run_settings
from explorer.cli.steps_asked import reached, steps_asked
from probes.schema.header import RunHeader
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded

if TYPE_CHECKING:
    from explorer.sources.source import Sink
    from probes.pair import Pair
    from probes.stepping.lockstep import Lockstep
    from probes.system.progress import Work


@dataclass(frozen=True, slots=True)
class SteppedPair:
    """A pair that has taken the steps to look at."""

    pair: Pair
    lockstep: Lockstep
    steps: range
    header: RunHeader
    record: Sink
    """Records an event, if the run is recorded."""
    work: Work


def settings_and_steps(typed: Typed, at: int | None, span: str) -> tuple[RunSettings, range | None]:
    """The settings of the run, and the steps that were asked for. Raises `BadInput` for options without an effect."""
    settings, steps = run_settings(typed), steps_asked(at, span)
    if steps:
        typed.refuse(("steps",), "with --at or --span, which say how far to step", "Leave it out.")
    if settings.sampling.greedy:
        typed.refuse(("top_k", "top_p"), "at temperature 0", "Give --temperature too, or leave it out.")
    return settings, steps


@contextmanager
def stepped_pair(spec: PairSpec, settings: RunSettings, steps: range | None, record_to: str) -> Iterator[SteppedPair]:
    """Loads the pair and takes the steps, with a progress bar. Torch is imported only here, after what can be refused
    early. Raises what `recorded` and `reached` raise, and `BadInput` for models that can't be loaded."""
    from probes.early import check_early

    check_early(spec)
    from rich.console import Console

    from explorer.cli.progress_bar import Bar
    from explorer.cli.run_loop import recorded

    with recorded(expanded(record_to) if record_to else None) as record, Bar(Console(stderr=True)) as bar:
        from probes.pair import load_pair

        pair = load_pair(spec, bar.work)
        prompt = pair.prompt(settings)
        header = pair.header(settings, prompt)
        with pair.lockstep(settings, prompt) as lockstep:
            yield SteppedPair(pair, lockstep, reached(lockstep, steps), header, record, bar.work)
