"""Prune settings as text: `METHOD:AMOUNT[@TARGETS]`, joined by `+`, read left to right. Free of torch.

The same text is the command-line option, the screen's title and the recording's header. A file name with a character of
the grammar is quoted: `magnitude:table="a+b.txt"`. In `restore:0.01@file=FILE` the file comes before all targets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from probes.schema.errors import BadInput
from probes.schema.nearest import did_you_mean
from probes.schema.prune_methods import (
    FILE,
    QUOTED,
    TABLE,
    Amount,
    Count,
    FittedShare,
    Method,
    Owl,
    Pattern,
    Ratio,
    Table,
)

__all__ = [
    "Amount",
    "BadSetting",
    "Count",
    "FittedShare",
    "Method",
    "Owl",
    "Pattern",
    "Ratio",
    "Setting",
    "SettingPart",
    "Table",
    "Targets",
    "parse",
    "ranges",
]

SETTING_GRAMMAR = "METHOD:AMOUNT[@TARGETS], joined by +"
SETTING_EXAMPLES = "wanda:0.5, magnitude:2:4@mlp, sparsegpt:0.5@layers=8-21, drop-attn@layers=20,22, drop-block:3"


@dataclass(frozen=True, slots=True)
class Targets:
    """The matrices or layers that a part applies to. An empty field does not limit them."""

    sublayer: str = ""
    """"attn", "mlp", or "" for both."""
    layers: tuple[int, ...] | None = None
    """Counted from 0, ascending; None for all."""
    names: tuple[str, ...] = ()
    """Last parts of matrix names ("up_proj"), or whole names; () for all."""

    def __str__(self) -> str:
        parts = [self.sublayer] if self.sublayer else []
        if self.layers is not None:
            parts.append(f"layers={ranges(self.layers)}")
        if self.names:
            parts.append(f"name={','.join(self.names)}")
        return "".join(f"@{part}" for part in parts)

    def has(self, name: str, layer: int, sublayer: str) -> bool:
        """Is the matrix of this name, in this layer and sublayer, a target?"""
        if self.sublayer and sublayer != self.sublayer:
            return False
        if self.layers is not None and layer not in self.layers:
            return False
        return not self.names or any(name == wanted or name.endswith(f".{wanted}") for wanted in self.names)


@dataclass(frozen=True, slots=True)
class SettingPart:
    """One method, its amount, and its targets."""

    method: Method
    amount: Amount | None
    """None for a drop whose layers are named, and for `dense`."""
    targets: Targets = Targets()

    @property
    def calibrated(self) -> bool:
        """Does it need calibration text?"""
        if self.method.drops:
            return self.amount is not None
        measured = (Method.WANDA, Method.WANDA_ONEPASS, Method.SPARSEGPT, Method.NEURONS, Method.HEADS)
        return self.method in measured or isinstance(self.amount, Owl)

    @property
    def file(self) -> str:
        """The path of the file that it reads; "" if it reads none."""
        return self.amount.path if isinstance(self.amount, (Table, FittedShare)) else ""

    def __str__(self) -> str:
        amount = "" if self.amount is None else f":{self.amount}"
        return f"{self.method}{amount}{self.targets}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A prune setting: its parts, read left to right. If two parts apply to one matrix, the later one counts."""

    parts: tuple[SettingPart, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.parts))


class BadSetting(BadInput):
    """A setting that can't be read, and the characters at fault."""

    def __init__(self, text: str, start: int, end: int, reason: str, hint: str) -> None:
        super().__init__("Prune setting", reason, hint)
        self.text = text
        self.start = start
        self.end = end
        """The offending part is `text[start:end]`; if something is missing, the place where it belongs."""

    @property
    def pointer(self) -> str:
        """The setting, and a line of carets below the offending part."""
        return f"{self.text}\n{' ' * self.start}{'^' * max(1, self.end - self.start)}"

    def __str__(self) -> str:
        return f"{self.title}: {self.message} {self.hint}\n\n{self.pointer}"


def parse(text: str) -> Setting:
    """Reads a setting. Raises `BadSetting`, which points to the offending part."""
    text = text.strip()
    if not text:
        raise BadSetting(text, 0, 0, "The setting is empty.", f"Write {SETTING_GRAMMAR}: {SETTING_EXAMPLES}.")
    parts, start = [], 0
    for piece in _split(text, "+"):
        parts.append(_Piece(text, start, piece).part())
        start += len(piece) + 1
    return Setting(tuple(parts))


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as text, with neighbours joined: "3,8-21"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _split(text: str, separator: str) -> list[str]:
    """The text between separators; those within a quoted file name separate nothing."""
    pieces = [""]
    for found in _ATOM.finditer(text):
        if found[0] == separator:
            pieces.append("")
        else:
            pieces[-1] += found[0]
    return pieces


_ATOM = re.compile(rf"(?:{TABLE}|{FILE}){QUOTED}|.", re.DOTALL)
_PATTERN = re.compile(r"(\d{1,9}):(\d{1,9})")
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
_WHOLE = re.compile(r"\d{1,9}")
_LAYERS_MOST = 10_000
_AMOUNTS = {
    "weights": "Use a ratio such as 0.5, a pattern such as 2:4, owl=0.5 or table=FILE.",
    "whole": "Use a ratio such as 0.25.",
    "drops": "Use a number of layers such as 4, or name them: @layers=20,22.",
    "restore": "Use a share of the pruned weights, and the file that phier repair wrote: restore:0.01@file=FILE.",
}


class _Piece:
    """The text of one part, and its place in the whole setting."""

    def __init__(self, text: str, start: int, piece: str) -> None:
        self._text = text
        self._piece = piece
        self._start = start

    def part(self) -> SettingPart:
        what, *targets = _split(self._piece, "@")
        name, colon, amount = what.partition(":")
        method = self._method(name)
        if method is Method.RESTORE:
            return self._restoring(len(name), len(what), amount, targets)
        chosen = self._targets(method, len(what), targets)
        if method is Method.DENSE:
            if colon:
                self._fault(len(name), len(what), "dense takes no amount.", "Name what to restore: dense@layers=3.")
        elif colon:
            return SettingPart(method, self._amount(method, len(name) + 1, amount), chosen)
        elif not (method.drops and chosen.layers is not None):
            self._fault(len(what), len(what), f"{method} needs an amount.", _hint(method))
        return SettingPart(method, None, chosen)

    def _restoring(self, named: int, what: int, amount: str, targets: list[str]) -> SettingPart:
        if what == named or not amount.strip():
            self._fault(named, what, "restore needs a share.", _AMOUNTS["restore"])
        share = self._ratio(Method.RESTORE, amount.strip(), named + 1, what)
        if not (targets and targets[0].strip().startswith(FILE)):
            self._fault(what, what, "restore needs the file that it was fitted with.", _AMOUNTS["restore"])
        end = what + 1 + len(targets[0])
        path = self._path(FILE, targets[0].strip().removeprefix(FILE), what + 1, end)
        return SettingPart(Method.RESTORE, FittedShare(share, path), self._targets(Method.RESTORE, end, targets[1:]))

    def _method(self, name: str) -> Method:
        try:
            return Method(name.strip().lower())
        except ValueError:
            reason = f"{name.strip()!r} is not a method." if name.strip() else "A method is missing here."
            near = did_you_mean(name.strip().lower(), Method)
            self._fault(0, len(name), reason, f"{near}Methods: {', '.join(Method)}.")

    def _amount(self, method: Method, at: int, text: str) -> Amount:
        end = at + len(text)
        amount = text.strip()
        if not amount:
            self._fault(at, end, "The amount is missing.", _hint(method))
        if method.unstructured:
            if found := _PATTERN.fullmatch(amount):
                keep, group = int(found[1]), int(found[2])
                if not 1 <= keep < group:
                    self._fault(at, end, f"{amount} removes nothing, or everything.", "N:M keeps N of every M: 2:4.")
                return Pattern(keep, group)
            if amount.startswith(TABLE):
                return self._table(method, amount.removeprefix(TABLE), at, end)
            if amount.startswith("owl="):
                if method in (Method.MAGNITUDE_GLOBAL, Method.RANDOM):
                    self._fault(at, end, f"{method} has no ratio for each layer.", "Use owl= with wanda or sparsegpt.")
                return Owl(self._ratio(method, amount.removeprefix("owl="), at, end))
        elif _PATTERN.fullmatch(amount):
            self._fault(at, end, f"{method} takes no N:M pattern.", _hint(method))
        if method.drops and _WHOLE.fullmatch(amount):
            if int(amount) == 0:
                self._fault(at, end, "Dropping 0 layers removes nothing.", _hint(method))
            return Count(int(amount))
        return Ratio(self._ratio(method, amount, at, end))

    def _table(self, method: Method, path: str, at: int, end: int) -> Table:
        found = Table(self._path(TABLE, path, at, end))
        if method is Method.MAGNITUDE_GLOBAL:
            self._fault(at, end, "magnitude-global ranks all targets together.", "Use magnitude with a table.")
        return found

    def _path(self, key: str, path: str, at: int, end: int) -> str:
        if path.startswith('"'):
            if not re.fullmatch(QUOTED, path):
                hint = f'Write {key}"FILE", and a quote in its name twice.'
                self._fault(at, end, "The quotes round the file name don't match.", hint)
            path = path[1:-1].replace('""', '"')
        if not path:
            what = "The table has no file name." if key == TABLE else "The file has no name."
            self._fault(at, end, what, f"Use {key}FILE.")
        return path

    def _ratio(self, method: Method, text: str, at: int, end: int) -> float:
        try:
            ratio = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            self._fault(at, end, f"{text!r} is not an amount.", _hint(method))
        if ratio == 0:
            self._fault(at, end, "A ratio of 0 removes nothing.", _hint(method))
        if not 0 < ratio <= 1:
            self._fault(at, end, f"{text} is not a ratio between 0 and 1.", _hint(method))
        if method.drops and ratio == 1:
            self._fault(at, end, "All layers can't be dropped by a ratio.", "Name them: @layers=0-29.")
        # Rounded as its text is, so that reading the text again gives the same setting.
        return float(f"{ratio:g}")

    def _targets(self, method: Method, at: int, texts: list[str]) -> Targets:
        sublayer = ""
        layers: tuple[int, ...] | None = None
        names: tuple[str, ...] = ()
        for text in texts:
            at += 1
            end = at + len(text)
            key, _, value = text.strip().partition("=")
            if text.strip() in ("attn", "mlp"):
                if sublayer:
                    self._fault(at, end, "The sublayer is named twice.", "Without @attn or @mlp both are targets.")
                if not (method.unstructured or method.restores):
                    self._fault(at, end, f"{method} names its sublayer already.", f"Leave @{text.strip()} out.")
                sublayer = text.strip()
            elif key == "layers" and layers is None:
                layers = self._layers(value, end - len(value))
            elif key == "name" and not names and (method.unstructured or method.restores):
                names = tuple(sorted({name.strip() for name in value.split(",") if name.strip()}))
                if not names:
                    self._fault(at, end, "No name is given.", "Use @name=up_proj, or several with commas between.")
            else:
                reason = f"{text.strip()!r} is not a target here." if text.strip() else "A target is missing after @."
                near = did_you_mean(key, ("attn", "mlp", "layers", "name"))
                self._fault(at, end, reason, f"{near}Targets: @attn, @mlp, @layers=8-21, @layers=20,22, @name=up_proj.")
            at = end
        return Targets(sublayer, layers, names)

    def _layers(self, text: str, at: int) -> tuple[int, ...]:
        found: set[int] = set()
        for piece in text.split(","):
            match = _RANGE.fullmatch(piece.strip())
            low = int(match[1]) if match else 0
            high = int(match[2] or match[1]) if match else -1
            if not low <= high < _LAYERS_MOST:
                reason = f"{piece.strip()!r} is not a layer." if piece.strip() else "A layer is missing here."
                self._fault(at, at + len(piece), reason, "Use numbers from 0, with commas and ranges: 3,8-21.")
            found.update(range(low, high + 1))
            at += len(piece) + 1
        return tuple(sorted(found))

    def _fault(self, start: int, end: int, reason: str, hint: str) -> NoReturn:
        raise BadSetting(self._text, self._start + start, self._start + end, reason, hint)


def _hint(method: Method) -> str:
    if method is Method.RESTORE:
        return _AMOUNTS["restore"]
    return _AMOUNTS["drops" if method.drops else "whole" if method.structured else "weights"]
