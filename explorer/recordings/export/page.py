"""A recording as one page that opens anywhere without a network: texts, charts and the table under one cursor.

Whatever a model wrote is data: it is shown by the same rules as on the screen, escaped in the page and in the script's
data, and the page's own policy lets no script run but the one whose hash it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from importlib.resources import files

import msgspec

from explorer.recordings.export.page_data import PageRecording, page_recordings
from explorer.recordings.export.several import unlike
from explorer.words.kl_levels import BOLD, KL_BOUNDS, UNDERLINED, level
from explorer.words.model_texts import SPLIT, text_title, written_token
from explorer.words.summary_figures import summary_figures
from explorer.words.token_text import flowing
from probes.recording import Recording
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow

LEFT_OUT = "▢"
"""Shown in place of a step that can't be read."""


def page(recordings: Sequence[Recording]) -> bytes:
    """The page of one or several recordings, of each the path that was shown last."""
    found = page_recordings(recordings)
    skeleton, style, script = (_part(name) for name in ("page.html", "page.css", "page.js"))
    parts = {
        "title": html.escape(flowing(" · ".join(entry.label for entry in found))),
        "policy": f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'",
        "style": style,
        "script": script,
        "choices": _choices(found),
        "warnings": "".join(f'<p class="note">{html.escape(warning)}</p>' for warning in unlike(recordings)),
        "recordings": "\n".join(_recording(place, entry) for place, entry in enumerate(found)),
        "legend": _legend(),
        "data": script_data([entry.data for entry in found]),
    }
    # One pass, so that nothing a model wrote is taken for a place to fill in.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], skeleton).encode("utf-8", "replace")


def script_data(value: object) -> str:
    """JSON that is safe within a script element: nothing in it ends the element or a line of script."""
    text = msgspec.json.encode(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _part(name: str) -> str:
    return files("explorer.recordings.export").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _choices(found: Sequence[PageRecording]) -> str:
    """Buttons to choose a recording, if there are several."""
    if len(found) < 2:
        return ""
    buttons = (
        f'<button type="button" data-choose="{place}">{html.escape(flowing(entry.label))}</button>'
        for place, entry in enumerate(found)
    )
    return f'<nav id="choices" aria-label="Recordings">{"".join(buttons)}</nav>'


def _recording(place: int, entry: PageRecording) -> str:
    """Everything that can be read without a script: what was run, both texts, what accumulated."""
    header, path = entry.header, entry.path
    sides = "".join(_text(side, entry) for side in ("dense", "pruned"))
    notes = "".join(f'<p class="note">{html.escape(note)}</p>' for note in entry.notes)
    return (
        f'<article data-recording="{place}"{" hidden" if place else ""}>'
        f"<h1>{_names(header)}</h1>"
        f'<p class="facts">{html.escape(" · ".join(_facts(header, path)))}</p>{notes}'
        f"<details><summary>Prompt</summary><pre>{_marked(header.prompt_text)}</pre></details>"
        f'<div class="texts">{sides}</div>{_sums(entry)}{entry.explained}</article>'
    )


def _names(header: RunHeader) -> str:
    dense, pruned = html.escape(flowing(header.dense.name)), html.escape(flowing(header.title))
    return f'<span class="dense">{dense}</span> ⇄ <span class="pruned">{pruned}</span>'


def _facts(header: RunHeader, path: Sequence[StepRecord]) -> list[str]:
    settings = header.settings
    found = [header.prune.summary] if header.prune else []
    found += [
        f"context {settings.follow.value}",
        str(settings.sampling),
        f"analysis T {settings.analysis_t:g}",
        f"{header.dense.dtype} on {header.dense.device}",
        f"{len(path):,} steps",
        header.started,
    ]
    return [flowing(fact) for fact in found if fact]


def _text(side: str, entry: PageRecording) -> str:
    follow = entry.header.settings.follow
    tokens = "".join(_token(record, side, follow) for record in entry.path)
    title = html.escape(text_title(side, follow))
    return f'<section class="text"><h2 class="{side}">{title}</h2><p>{tokens}</p></section>'


def _token(record: StepRecord, side: str, follow: Follow) -> str:
    """One token, coloured by its KL; a click on it moves the cursor there."""
    token = written_token(record, side, follow)
    classes = ["quiet"] if token.quiet else []
    found = level(token.kl)
    if found is not None:
        classes.append(f"k{found}")
    elif token.kl is not None:
        classes.append("odd")
    split = f'<b class="mark">{SPLIT}</b>' if record.step == record.sum.first_split else ""
    mark = f'<b class="mark">{html.escape(token.mark)}</b>' if token.mark else ""
    text = LEFT_OUT if record.missing else _marked(token.text)
    return f'{split}<span data-step="{record.step}" class="{" ".join(classes)}">{mark}{text}</span>'


def _marked(text: str) -> str:
    """Text for the page: controls and directions as marks, line breaks as a mark and a break."""
    return "↵\n".join(html.escape(flowing(line)) for line in text.split("\n"))


SUMS = summary_figures(
    "kl_shared_sum",
    "kl_sum",
    "kl_shared.mean",
    "kl_shared.max",
    "survival",
    "half_life",
    "perplexity_ratio",
    "agree_rate",
    "first_split",
    "invalid",
)
"""The figures of the whole path."""


def _sums(entry: PageRecording) -> str:
    """A row for each figure of the whole path."""
    diverged = any(not record.same_context for record in entry.path)
    rows = []
    for figure in SUMS:
        value = figure.of(entry.summary)
        if (figure.key == "kl_sum" and not diverged) or (figure.key == "invalid" and not value):
            continue
        rows.append(f"<div><dt>{figure.label}</dt><dd>{figure.text_with_unit(value)}</dd></div>")
    return f'<dl class="sums">{"".join(rows)}</dl>'


def _legend() -> str:
    """The ramp from like to unlike: what the colours of the tokens mean."""
    bounds = [f"&lt; {KL_BOUNDS[0]:g}", *(f"≥ {bound:g}" for bound in KL_BOUNDS)]
    swatches = "".join(f'<span class="k{place}">{bound}</span>' for place, bound in enumerate(bounds))
    return (
        f"KL in nats: {swatches} Underlined from {KL_BOUNDS[UNDERLINED - 1]:g}, bold from {KL_BOUNDS[BOLD - 1]:g}. "
        f'<b class="mark">{SPLIT}</b> the first different choices.'
    )
