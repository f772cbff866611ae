"""The commands that play a recording. The main screen offers them while it shows one; else [ and ] mark a span."""

from __future__ import annotations

from explorer.state.view import View
from explorer.ui.commands import Command


def is_played(view: View) -> bool:
    return view.playback is not None


def can_play(view: View) -> bool:
    return is_played(view) and view.header is not None and view.work is None


def can_use_bracket(view: View) -> bool:
    return can_play(view) if is_played(view) else view.newest > 0


PLAY_COMMANDS: tuple[Command[View], ...] = (
    Command(
        {"left_square_bracket": "bracket(True)"},
        "[",
        "Marks the first step of a span to explain together, or unmarks it; in a recording, plays slower.",
        label="slower",
        name="Span: First step, or play slower",
        when=can_use_bracket,
        offered=is_played,
        weight=48,
    ),
    Command(
        {"right_square_bracket": "bracket(False)"},
        "]",
        "Marks the last step of a span to explain together, or unmarks it; in a recording, plays faster.",
        label="faster",
        name="Span: Last step, or play faster",
        when=can_use_bracket,
        offered=is_played,
        weight=48,
    ),
    Command(
        {"a": "loop"},
        "a",
        "Plays again and again, or once.",
        label=lambda view: "once" if view.playback is not None and view.playback.loop else "loop",
        name="Play: Loop",
        when=can_play,
        offered=is_played,
        weight=47,
    ),
    Command(
        {"e": "rest"},
        "e",
        "Shows the rest of the recording at once.",
        label="end",
        name="Play: To the end",
        when=can_play,
        offered=is_played,
        weight=47,
    ),
)
