"""The next-token table keeps its columns, whatever stands in them."""

from __future__ import annotations

import pytest

from explorer.ui.widgets.next_tokens import ranks


@pytest.mark.parametrize(
    ("dense", "pruned", "shown"),
    [
        (1, 4, "    1 → 4    "),
        (5, 9_999, "    5 → 9 999"),
        (16_009, 1, "16 009 → 1   "),
        (1, 16_009, "   1 → 16 009"),
        (262_143, 10, "262 143 → 10 "),
        (10, 262_143, " 10 → 262 143"),
    ],
)
def test_ranks_take_their_cells_at_any_size(dense: int, pruned: int, shown: str) -> None:
    assert ranks(dense, pruned).replace("\u202f", " ").replace("\u2009", " ") == shown
