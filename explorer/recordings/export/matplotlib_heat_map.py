"""Draws one heat map with matplotlib: sublayers over steps, with the scale beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from explorer.recordings.export.panels import HeatMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_EXPLAINED, ZERO, ENDLESS = "#dcdcdc", "#ffffff", "#000000"
"""The colours of cells that have no place on the scale."""
_LIGHTEST = 0.15
"""Where the scale begins among the shades, so that its least value is not white."""
_WIDEST = 1e6
"""The scale is no wider, because rounding alone gives values many powers of ten below the others."""
_MOST_NAMES = 12
"""Names beside the rows."""


def draw_heat_map(axis: Axes, drawn: HeatMap) -> None:
    """One cell a sublayer and step, darker for a larger value; the scale goes by powers of ten."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm
    from matplotlib.ticker import MaxNLocator

    values = [one for row in drawn.values for one in row if one is not None and math.isfinite(one) and one > 0]
    low, high = (min(values), max(values)) if values else (0.1, 1.0)
    high = max(high, low * 10)
    low = max(low, high / _WIDEST)
    shades = ListedColormap(colormaps["Blues"](np.linspace(_LIGHTEST, 1, 256)))
    shades.set_extremes(bad=NOT_EXPLAINED, under=ZERO, over=ENDLESS)

    def height(value: float | None) -> float:
        """On the scale, below it or above it; nan has no place at all."""
        if value is None:
            return math.nan
        return high * 10 if not math.isfinite(value) else max(value, low) if value > 0 else low / 10

    cells = np.ma.masked_invalid(np.array([[height(one) for one in row] for row in drawn.values]))
    across, up = np.arange(cells.shape[1] + 1) + 0.5, np.arange(cells.shape[0] + 1) - 0.5
    mesh = axis.pcolormesh(across, up, cells, cmap=shades, norm=LogNorm(low, high), gid="cells")
    if drawn.split is not None:
        axis.axvline(drawn.split, color="#000000", linewidth=0.7, linestyle=(0, (1, 1.5)))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    apart = max(1, -(-len(drawn.rows) // _MOST_NAMES))
    axis.set_yticks(range(0, len(drawn.rows), apart), drawn.rows[::apart])
    axis.set_title(drawn.title.replace("$", r"\$"), fontsize="medium", loc="left")
    bar = axis.figure.colorbar(mesh, ax=axis, pad=0.01, aspect=12)
    bar.set_label(f"KL ({drawn.unit})")
