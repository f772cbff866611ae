"""Colours as people with the three kinds of colour blindness see them, contrasts, and distances between colours.

The matrices are those of Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision
deficiency", IEEE TVCG 15 (2009), table 1, severity 1.0, applied to linear sRGB. Contrast is WCAG 2's. The distance is
the straight one in OKLab (Ottosson 2020), times 100: about 2 can just be told apart side by side.
"""

from __future__ import annotations

import math

Rgb = tuple[float, float, float]

SEEN_BY: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "everybody": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def linear(colour: str) -> Rgb:
    """Linear sRGB of a colour such as #6cb0f5."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return _line(red), _line(green), _line(blue)


def as_seen(colour: str, kind: str) -> Rgb:
    """Linear sRGB of what a person of this kind sees, clipped to what a screen can show."""
    given = linear(colour)
    red, green, blue = (
        min(1.0, max(0.0, sum(m * v for m, v in zip(row, given, strict=True)))) for row in SEEN_BY[kind]
    )
    return red, green, blue


def contrast(one: str, other: str, kind: str = "everybody") -> float:
    """From 1 to 21."""
    light, dark = sorted((luminance(as_seen(colour, kind)) for colour in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(rgb: Rgb) -> float:
    return 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]


def distance(one: str, other: str, kind: str = "everybody") -> float:
    """The distance of two colours in OKLab, times 100; black to white is 100."""
    return 100 * math.dist(_oklab(as_seen(one, kind)), _oklab(as_seen(other, kind)))


def _line(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _oklab(rgb: Rgb) -> Rgb:
    red, green, blue = rgb
    long = math.cbrt(0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue)
    middle = math.cbrt(0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue)
    short = math.cbrt(0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )
