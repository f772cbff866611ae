"""The benchmark of how late the screen gets its turn while models explain a token."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from explorer.bench.waits import Waits, screen_waits, waits_table
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.schema.spec import PairSpec
from tests.support.tiny import byte_tokenizer, save, tiny


async def test_the_screen_is_watched_at_rest_while_stepping_and_while_a_token_is_explained(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    folder = save(tmp_path / "tiny", tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    found = await screen_waits(PairSpec(str(folder), prune=parse("magnitude:0.5")), steps=3, rest=0.05)
    assert [one.doing for one in found] == ["at rest", "stepping", "explaining"]
    assert all(one.late for one in found)


async def test_models_that_cant_be_loaded_end_it(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="missing"):
        await screen_waits(PairSpec(str(tmp_path / "missing"), prune=parse("magnitude:0.5")), steps=1)


def test_stalls_are_counted() -> None:
    waits = Waits("explaining", (0.001,) * 97 + (0.002, 0.051, 0.2))
    assert (waits.quantile(0.5), waits.quantile(0.98), waits.quantile(1), waits.stalls) == (0.001, 0.051, 0.2, 2)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(waits_table([waits]))
    assert "2 of 100" in console.export_text()
