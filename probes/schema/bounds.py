"""Bounds of the numbers and texts in a recording, as types that msgspec checks when a line is read.

They are wide enough for everything that a run can measure, rounding included. They are narrow enough that no sum,
square or exponential of a number overflows, and that no count or length makes the program wait.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

HUGE = 1e100
"""The largest finite figure: a float32 is below 4e38, and its square must be possible."""
SLACK = 1e-3
"""How far rounding may take a share or a cosine beyond its range."""
LONGEST_TOKEN = 4096
"""Characters of one token, or of the text that one token adds."""
LONGEST_TEXT = 2000
"""Characters of any other text except a prompt: a name, a path, a setting, a sentence. Longer texts are cut."""
MOST = 2**53
"""The largest whole number that every JSON reader reads exactly."""
MOST_LAYERS = 10_000
MOST_NAMES = 100_000
"""Entries of a list in a header: tensors, notes, drops."""
MOST_MATRICES = 20_000
"""Matrices in a header: a layer view searches all of them for each of its cells."""

Bounded = Annotated[float, Meta(ge=-HUGE, le=HUGE)]
NonNegative = Annotated[float, Meta(ge=-SLACK, le=HUGE)]
"""A figure that is not negative, except by rounding: a divergence, an entropy, a distance."""
Share = Annotated[float, Meta(ge=0.0, le=1.0 + SLACK)]
Cosine = Annotated[float, Meta(ge=-1.0 - SLACK, le=1.0 + SLACK)]
Angle = Annotated[float, Meta(ge=0.0, le=180.0 + SLACK)]
Natural = Annotated[int, Meta(ge=0, le=MOST)]
Place = Annotated[int, Meta(ge=1, le=MOST)]
"""A step or a rank, from 1."""
LayerCount = Annotated[int, Meta(ge=0, le=MOST_LAYERS)]
TokenString = Annotated[str, Meta(max_length=LONGEST_TOKEN)]
Names = Annotated[tuple[Annotated[str, Meta(pattern=r"\S")], ...], Meta(max_length=MOST_NAMES)]
"""Names that are not blank."""
BoundedCell = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Bounded | str | bool | None
"""One value of a row of an explanation."""
