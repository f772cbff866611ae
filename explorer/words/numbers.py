"""Writes figures for people: few digits, plain signs, and a dash for a missing figure."""

from __future__ import annotations

import math

NONE = "–"
"""Shown for a missing figure."""


def odd(value: float) -> str:
    """The text for a value that is not finite, or "" if it is finite."""
    if math.isnan(value):
        return "undef."
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return ""


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits; powers of ten only if the plain number would be long."""
    if name := odd(value):
        return name
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -3 or size >= 6:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}".replace("-", "−", 1 if value < 0 else 0)
    text = f"{value:.{max(0, digits - 1 - size)}f}"
    return text.replace("-", "−")


def cosine(value: float) -> str:
    """Three decimals, or more if three would hide a change."""
    if name := odd(value):
        return name
    for decimals in (3, 4, 5):
        text = f"{value:.{decimals}f}"
        if value == 1 or float(text) != 1:
            return text.replace("-", "−")
    return "≈ 1"


def degrees(value: float) -> str:
    if name := odd(value):
        return name
    return f"{value + 0.0:.1f}°" if value >= 0.05 or value == 0 else f"{value:.3f}°"


def times(value: float) -> str:
    """A ratio: ×0.97."""
    return odd(value) or f"×{significant(value)}"


def percent(value: float) -> str:
    if name := odd(value):
        return name
    part = 100 * value
    if 0 < abs(part) < 1:
        return f"{significant(part, 2)} %"
    return f"{part:.0f} %".replace("-0 %", "0 %").replace("-", "−")


def whole_percent(value: float) -> str:
    """A share in whole percents; may be negative."""
    return odd(value) or f"{round(100 * value)} %".replace("-", "−")


def chance(value: float) -> str:
    """A probability as a percentage while that can be read, else as a power of ten."""
    return percent(value) if value >= 0.0005 or value == 0 else significant(value)


def chance_in_words(value: float) -> str:
    """A probability in a sentence: a percentage while that can be read, then 1 in so many."""
    if value == 0 or not value < 0.0005:
        return chance(value)
    odds = 1 / value if value > 1e-300 else math.inf
    if odds >= 999.5e12:
        return f"1 in 10^{round(math.log10(odds))}" if math.isfinite(odds) else "less than 1 in 10^300"
    for least, unit in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if odds >= 0.9995 * least:
            return f"1 in {significant(max(1.0, odds / least), 2)} {unit}"
    return f"1 in {float(f'{odds:.1e}'):,.0f}"


def signed(value: float) -> str:
    """A log ratio: +2.98, −0.33."""
    if name := odd(value):
        return name if name.startswith(("−", "u")) else f"+{name}"
    return f"{value:+.2f}".replace("-", "−")


def rank(value: float) -> str:
    return f"{int(value):,}".replace(",", " ") if math.isfinite(value) else odd(value)


def plain(value: float) -> str:
    """A bound on an axis, as short as possible."""
    if name := odd(value):
        return name
    text = f"{value:g}" if value == 0 or abs(value) >= 0.01 else f"{value:e}".replace(".000000", "")
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        return f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def byte_count(value: float) -> str:
    """A number of bytes in a unit that fits."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {unit}" if value < 100 * size else f"{value / size:.0f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float) -> str:
    """A span of time, rounded to what matters."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
