"""Opens what the command line names: a recording, one of its runs, or a file of results."""

from __future__ import annotations

from explorer.sources.source import Source
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible


def open_recording(
    recording: str, number: int | None, demo: bool, play: bool, speed: float | None, loop: bool
) -> Source | None:
    """The recording and the run that were named; None if none was."""
    if not recording and not demo:
        return None
    from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
    from explorer.sources.autoplay import Autoplay
    from explorer.sources.chosen import Chosen, chosen
    from explorer.sources.opened import opened_file

    which = chosen(recording) if recording else Chosen(shipped_folder() / DEMO_RECORDING)
    path, number = which.path, number if which.run is None else which.run
    if not path.is_file():
        from probes.models.spec_check import nearby

        raise BadInput(
            "Recording", f"There is no recording {visible(str(path))}.", f"{nearby(path)}`phier recordings` lists them."
        )
    from explorer.sources.kept_results import kind_of_file

    kind = kind_of_file(path)
    if kind in ("results", "sweep"):
        if play or loop or speed is not None or number is not None:
            holds = "the results of items" if kind == "results" else "a sweep"
            sentence = f"{visible(str(path))} holds {holds}, which can't be played."
            raise BadInput("Results", sentence, "Leave out --run, --play, --speed and --loop.")
    elif play or demo or loop or speed is not None:
        return Autoplay(path, number=number, play=True, pace=speed, loop=loop)
    return opened_file(path, number)


def open_tour(recording: str, number: int | None, speed: float | None) -> Source:
    """A recording to take the tour on, before its first step: that of the tour itself if none is named."""
    from explorer.recordings.shipped import TOUR_PACE, TOUR_RECORDING, shipped_folder
    from explorer.sources.replay import ReplaySource

    if not recording:
        return ReplaySource(shipped_folder() / TOUR_RECORDING, play=True, pace=speed or TOUR_PACE)
    from explorer.sources.chosen import chosen

    opened = open_recording(recording, number, False, True, speed, False)  # refuses what can't be opened
    assert opened is not None
    opened.close()
    which = chosen(recording)
    return ReplaySource(which.path, number=number if which.run is None else which.run, play=True, pace=speed)
