"""One item: the prompt, its options or answers in both models, and how far the models are apart where it is decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.geometry import Size

from explorer.ui.widgets.item_table import RIGHT, WRONG
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.named_figures import TITLE, NamedFigures, Names
from explorer.ui.widgets.next_tokens import bar
from explorer.ui.widgets.scrolled_panel import ScrolledPanel
from explorer.words import numbers
from explorer.words.token_text import fit, flowing, wrapped
from probes.schema.events import ItemScored
from probes.schema.task_results import Answered, ItemPrompt, ItemResult

_P = 7


class ItemSheet(ScrolledPanel, NamedFigures):
    """Shows the chosen item; it scrolls."""

    FIGURE_NAMES: ClassVar[Names] = {
        **{"centred cos z": "z.cos_centred", "cos h": "h.cos", "cos p": "p.cos", "KL": "p.kl", "margin": "item.margin"},
        **{"ΣKL": "kl_sum", "same top token": "agree_rate", "first split": "first_split"},
    }

    def names_in(self, line: int) -> Names:
        """In the line about the options, the KL is theirs."""
        names = self.FIGURE_NAMES if line != TITLE else {}
        lines = self._text_lines()
        of_options = 0 <= line < len(lines) and "among the options" in lines[line]
        return {**names, "KL": "item.options_kl", "cos": "watched.cos"} if of_options else names

    def __init__(self) -> None:
        super().__init__(id="item")
        self._scored: ItemScored | None = None
        self._note = ""

    def show(self, scored: ItemScored | None, note: str) -> None:
        """`note` says how the item is opened, or why it can't be."""
        if (scored, note) == (self._scored, self._note):
            return
        if scored is None or self._scored is None or scored.result.item != self._scored.result.item:
            self._top = 0
        self._scored, self._note = scored, note
        name = f"item {flowing(scored.result.item)}" if scored is not None else "item"
        self.entitle(Text(name), Text(note))
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        if self._scored is None:
            return []
        return self.lines_that_fit(self._all_lines(self._scored.result, self._scored.prompt, size), size.height)

    def _all_lines(self, result: ItemResult, prompt: ItemPrompt | None, size: Size) -> list[Pieces]:
        palette, width = self.palette, size.width
        lines: list[Pieces] = []
        if prompt is not None:
            asked = [line for part in prompt.prompt.splitlines() for line in wrapped(flowing(part), width - 2)]
            lines += [[(f" {line}", palette.text)] for line in asked]
            lines.append([])
        if result.options is not None:
            lines += self._options(result, prompt, width)
        else:
            lines += self._answers(result, prompt, width)
        lines.append([])
        lines += [[(f" {line}", palette.muted)] for text in figures_of(result) for line in wrapped(text, width - 2)]
        for note in result.notes:
            lines += [[(f" {line}", palette.odd)] for line in wrapped(flowing(note), width - 2)]
        return lines

    def _options(self, result: ItemResult, prompt: ItemPrompt | None, width: int) -> list[Pieces]:
        """A line an option, with both models' shares as bars. ● is the dense model's choice, ○ the pruned one's."""
        assert result.options is not None
        palette, found = self.palette, result.options
        named = list(prompt.options.items()) if prompt is not None else []
        if len(named) != len(found.p):
            named = [(str(place), "") for place in range(1, len(found.p) + 1)]
        label = max(8, min(24, width - 4 - 2 * (_P + 6)))
        length = max(3, min(24, (width - 4 - label - 2 * _P) // 2))
        lines: list[Pieces] = [
            [(f"    {fit('option', label)}{fit('dense p', _P + length)}{fit('pruned q', _P + length)}", palette.muted)]
        ]
        for (name, text), p, q in zip(named, found.p, found.q, strict=True):
            right = prompt is not None and prompt.answer == name
            written = name if name == text or not text else f"{name} {text}"
            marks = ("●" if result.dense.choice in (text, name) else " ") + (
                "○" if result.pruned.choice in (text, name) else " "
            )
            lines.append(
                [
                    (f"{RIGHT if right else ' '}{marks} ", palette.strong),
                    (fit(flowing(written), label - 1) + " ", palette.strong if right else palette.text),
                    (f"{p:.3f}  "[:_P], palette.text),
                    (f"{bar(p, length - 1)} ", palette.dense),
                    (f"{q:.3f}  "[:_P], palette.text),
                    (bar(q, length - 1), palette.pruned),
                ]
            )
        return lines

    def _answers(self, result: ItemResult, prompt: ItemPrompt | None, width: int) -> list[Pieces]:
        """Both models' answers, with the generated texts."""
        palette = self.palette
        lines: list[Pieces] = []
        for name, answered, style in (
            ("dense", result.dense, palette.dense),
            ("pruned", result.pruned, palette.pruned),
        ):
            lines += [[(f" {line}", style)] for line in _answer_lines(name, answered, width)]
        if prompt is not None and prompt.answer:
            lines.append([(f" right     {fit(flowing(prompt.answer), max(4, width - 12))}", palette.strong)])
        if result.ranking is not None:
            lines += [[(f" {line}", palette.text)] for line in wrapped(moved_sentence(result), width - 2)]
        return lines


def _answer_lines(name: str, answered: Answered, width: int) -> Sequence[str]:
    mark = RIGHT if answered.right else WRONG
    said = flowing(" ".join(answered.choice.split())) or "no answer"
    text = flowing(answered.text)
    whole = f"{name:<8}{mark} {said}" + (f"   wrote “{text}”" if text.strip() else "")
    return wrapped(whole, width - 2)


def moved_sentence(result: ItemResult) -> str:
    """Where the right document stands in both rankings, and which documents moved most."""
    found = result.ranking
    assert found is not None
    moved = ", ".join(f"{flowing(name)} {dense} → {pruned}" for name, dense, pruned in found.moved)
    tau = f", tau-b {numbers.cosine(found.tau)}" if found.tau is not None else ""
    ranks = f"The right document has rank {found.rank_dense} → {found.rank_pruned}{tau}."
    return f"{ranks} Moved most: {moved}." if moved else f"{ranks} No document moved."


def figures_of(result: ItemResult) -> list[str]:
    """The three spaces where the item is decided, and the options' own figures, in words."""
    found: list[str] = []
    if (spaces := result.spaces) is not None:
        found.append(
            f"whole vocabulary: cos h {numbers.cosine(spaces.h.cos)} · centred cos z "
            f"{numbers.cosine(spaces.z.cos_centred)} · cos p {numbers.cosine(spaces.p.cos)} · "
            f"KL {numbers.significant(spaces.p.kl)} nat"
        )
    if (options := result.options) is not None:
        mass = ""
        if options.mass_dense is not None and options.mass_pruned is not None:
            dense, pruned = numbers.percent(options.mass_dense), numbers.percent(options.mass_pruned)
            mass = f" · they hold {dense} → {pruned} of all probability"
        found.append(
            f"among the options: cos {numbers.cosine(options.cos)} · KL {numbers.significant(options.kl)}, "
            f"reverse {numbers.significant(options.kl_reverse)} nat{mass}"
        )
    if (made := result.generation) is not None:
        split = f"first split at {made.first_split}" if made.first_split else "no split"
        half = f" · ½ at {numbers.significant(made.half_life)} tokens" if made.half_life is not None else ""
        found.append(
            f"on the dense text, {made.steps} tokens: ΣKL {numbers.significant(made.kl)} nat · same top token "
            f"{numbers.whole_percent(made.agree_rate)} · {split}{half}"
        )
    return found
