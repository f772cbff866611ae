"""A sublayer or block as a value, and its text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.schema.part import Part


@given(st.sampled_from(["attn", "mlp", "block"]), st.integers(0, 10_000))
def test_a_part_reads_back_from_its_own_text(kind: str, layer: int) -> None:
    assert Part.parse(str(Part(kind, layer))) == Part(kind, layer)


@pytest.mark.parametrize("text", ["", "attn", "attn ", "attn -1", "attn x", "nose 1", "Attn 1", "attn 1 ", "attn ²"])
def test_other_text_names_no_part(text: str) -> None:
    with pytest.raises(ValueError, match="names no part"):
        Part.parse(text)


def test_parts_sort_by_kind_and_then_by_number() -> None:
    assert [str(part) for part in sorted(map(Part.parse, ("mlp 3", "attn 20", "block 0", "attn 3")))] == [
        "attn 3",
        "attn 20",
        "block 0",
        "mlp 3",
    ]


def test_a_block_is_its_two_sublayers() -> None:
    assert Part("block", 7).sublayers == (Part("attn", 7), Part("mlp", 7))
    assert Part("mlp", 7).sublayers == (Part("mlp", 7),)
    assert Part("mlp", 7).block == Part("block", 7).block == Part("block", 7)
