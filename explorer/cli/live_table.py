"""The steps of a run as a table in the shell, or as JSON lines."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from explorer.words.pauses import pause_sentence
from explorer.words.summary_figures import summary_figures
from explorer.words.token_text import fit
from explorer.words.watched import watched_line
from probes.schema.as_json import json_to_print
from probes.schema.events import Event, RunPaused, RunStarted, StepMeasured
from probes.schema.flat_step import to_jsonable
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from probes.schema.summary import Summary, summarise

SUMMARY = summary_figures(
    "compared",
    "kl_shared_sum",
    "kl_sum",
    "kl_shared_both",
    "drift",
    "kl_shared.mean",
    "kl_shared.median",
    "kl_shared.p99",
    "kl_shared.max",
    "survival",
    "half_life",
    "scored",
    "perplexity_dense",
    "perplexity_pruned",
    "perplexity_ratio",
    "nll_dense",
    "nll_pruned",
    "agree_rate",
    "longest_agreement",
    "first_split",
    "watched_kl",
    "watched_agree_rate",
    "invalid",
)
"""The figures under the table."""


def print_json(value: object) -> None:
    """Prints an object on one line of standard output, at once; figures that are not finite are null and named."""
    sys.stdout.buffer.write(json_to_print(to_jsonable(value)) + b"\n")
    sys.stdout.buffer.flush()


class JsonLines:
    """Prints one JSON object per step to standard output, at once, then one with the summary."""

    def __init__(self) -> None:
        self._path: list[StepRecord] = []
        self._header: RunHeader | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._header = event.header
        elif isinstance(event, StepMeasured):
            self._path.append(event.record)
            print_json(event.record)
        elif isinstance(event, RunPaused) and self._header is not None:
            print_json(
                {
                    "summary": asdict(summarise(self._path)),
                    "stopped": pause_sentence(event),
                    "dense": asdict(self._header.dense),
                    "pruned": asdict(self._header.pruned),
                    "prune": asdict(self._header.prune) if self._header.prune else None,
                    "settings": asdict(self._header.settings),
                    "versions": self._header.versions,
                    "warnings": self._header.every_warning,
                    "notes": self._header.every_note,
                }
            )


class LiveTable:
    """Prints one row per step as it comes, in plain lines that can be piped, scrolled and saved.

    All figures are of both models on one text, so that the KL beside ΣKL is what ΣKL adds up; in `free` a last column
    has the KL of each model on its own text.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._path: list[StepRecord] = []
        self._follow = Follow.DENSE

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._open(event.header)
        elif isinstance(event, StepMeasured):
            self._path.append(event.record)
            self._add(event.record)
        elif isinstance(event, RunPaused):
            self._close(self._path, pause_sentence(event))

    def _open(self, header: RunHeader) -> None:
        settings = header.settings
        self._follow = settings.follow
        self._console.print(
            Text.assemble((header.dense.name, "bold blue"), "  ⇄  ", (header.title, "bold dark_orange"))
        )
        if header.prune:
            took = f" in {header.prune.seconds:.1f} s" if header.prune.setting else ""
            self._console.print(f"{header.prune.summary}{took}", style="dim", markup=False)
        self._console.print(f"{settings.follow} · {settings.sampling} · T {settings.analysis_t:g}\n", style="dim")
        scored = f"{'scored':<11} {'p':>8} {'q':>8}   " if self._scores else ""
        own = f"  {'own KL':>8}" if self._follow is Follow.FREE else ""
        self._console.print(
            f"{'step':>5}   {scored}{'dense':<12} {'pruned':<12} {'cos h':>7} {'z centred':>9} {'KL':>8}"
            f" {'ΣKL':>7} {'survival':>8}{own}{'  watched p → q' if settings.watch else ''}",
            style="bold",
            soft_wrap=True,
        )

    def _add(self, record: StepRecord) -> None:
        shared = record.shared
        mark = "┆" if record.split and record.sum.first_split == record.step else "≠" if record.split else " "
        line = Text(f"{record.step:>5} ")
        if self._scores and (taken := record.taken):
            line.append(f" {fit(printable(taken.token), 12)} {padded(taken.p, '8.3g')} {padded(taken.q, '8.3g')} ")
        line.append(mark)
        for choice, style in ((record.dense, "blue"), (record.pruned, "dark_orange")):
            line.append(f"{fit(printable(choice.token), 12) if choice else fit('–', 12)} ", style)
        line.append(f"{padded(shared.h.cos if shared else None, '7.4f')} ")
        line.append(f"{padded(shared.z.cos_centred if shared else None, '9.4f')} ")
        line.append(f"{padded(shared.p.kl if shared else None, '8.3g')} ")
        line.append(f"{padded(record.sum.kl_shared, '7.4g')} {padded(record.sum.survival, '8.2g')}")
        if self._follow is Follow.FREE:
            line.append(f"  {padded(record.own.p.kl if record.own else None, '8.3g')}")
        if shared and shared.watched:
            line.append(f"  {watched_line(shared.watched.groups)}")
        if record.invalid:
            line.append(f"  the {record.invalid.model} model is not finite from {record.invalid.layer} on", "bold")
        self._console.print(line, soft_wrap=True, highlight=False)

    @property
    def _scores(self) -> bool:
        """Is a given text scored? Its tokens are then shown beside the models' own; there is one context."""
        return self._follow is Follow.TEXT

    def _close(self, path: list[StepRecord], why: str) -> None:
        summary = summarise(path)
        own = self._follow is Follow.FREE
        texts = [("dense" if own else str(self._follow), "".join(r.taken.text for r in path if r.taken))]
        if own:
            texts.append(("pruned", "".join(r.taken_pruned.text for r in path if r.taken_pruned)))
        self._console.print()
        for name, text in texts:
            self._console.print(Text.assemble((f"{name:>7}  ", "bold"), printable(text, quotes=False)))
        self._console.print(Text(f"\n{why}", "dim"))
        for name, value in summary_rows(summary):
            self._console.print(f"{name:>24}  {value}", highlight=False)


def summary_rows(summary: Summary) -> list[tuple[str, str]]:
    """The figures of the whole run, each by its label and with its unit."""
    left_out = set() if summary.kl_sum != summary.kl_shared_sum else {"kl_sum", "kl_shared_both", "drift"}
    if not summary.invalid:
        left_out.add("invalid")
    if summary.watched_kl is None:
        left_out |= {"watched_kl", "watched_agree_rate"}
    return [
        (figure.label, figure.text_with_unit(figure.of(summary), 4)) for figure in SUMMARY if figure.key not in left_out
    ]


def printable(text: str, quotes: bool = True) -> str:
    """A model's text as data: control characters are escaped, so that no terminal obeys them."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return f"“{safe}”" if quotes else safe


def padded(value: float | None, layout: str) -> str:
    """A number, or a dash if there is none, at the same width."""
    width = int(layout.split(".")[0])
    if value is None or math.isnan(value):
        return f"{'–':>{width}}"
    return f"{value:{layout}}"
