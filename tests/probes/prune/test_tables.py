"""Tables of amounts: by layer and by name, line by line, and what is wrong with one is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.schema.errors import BadInput
from tests.support.allocation import allocated, amounts


def table(folder: Path, *lines: str) -> str:
    path = folder / "amounts.txt"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return f"table={path}"


def test_a_table_speaks_of_layers_and_of_names_and_its_last_line_decides(tmp_path: Path) -> None:
    text = table(
        tmp_path,
        "# everything of the first layer",
        "",
        "0 0.25",
        "up_proj, 2:4   # a pattern",
        "mlp.down_proj\t0.125",
        "model.layers.2.self_attn.q_proj 1",
    )
    assert amounts(f"magnitude:{text}") == {
        "0.q_proj": "magnitude 0.25",
        "0.o_proj": "magnitude 0.25",
        "0.up_proj": "magnitude 2:4",
        "0.down_proj": "magnitude 0.125",
        "1.up_proj": "magnitude 2:4",
        "1.down_proj": "magnitude 0.125",
        "2.q_proj": "magnitude 1",
        "2.up_proj": "magnitude 2:4",
        "2.down_proj": "magnitude 0.125",
    }


def test_nought_leaves_what_the_lines_before_it_named(tmp_path: Path) -> None:
    text = table(tmp_path, "up_proj 0.5", "1 0", "q_proj 0.0", "down_proj 1:4", "2 0")
    assert amounts(f"wanda:{text}") == {
        "0.up_proj": "wanda 0.5",
        "0.down_proj": "wanda 1:4",
        "1.down_proj": "wanda 1:4",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("up_proj", "has 1 columns"),
        ("up_proj 0.5 0.6", "has 3 columns"),
        ("proj 0.5", "names 'proj', which matches no matrix"),
        ("3 0.5", "names '3', which matches no matrix"),
        ("q_proj 0.5", "names 'q_proj', which matches no matrix"),  # the part speaks of the MLPs
        ("up_proj half", "'half' is not an amount"),
        ("up_proj 1.5", "'1.5' is not an amount"),
        ("up_proj -0.5", "'-0.5' is not an amount"),
        ("up_proj nan", "'nan' is not an amount"),
        ("up_proj 4:4", "'4:4' is not an amount"),
        ("up_proj 0:4", "'0:4' is not an amount"),
        ("up_proj 2:4:8", "'2:4:8' is not an amount"),
    ],
)
def test_a_line_that_can_not_be_meant_is_named_with_its_file(line: str, reason: str, tmp_path: Path) -> None:
    text = table(tmp_path, "# first", "up_proj 0.5", line)
    with pytest.raises(BadInput, match=rf"amounts\.txt, line 3[: ]+.*{reason}"):
        allocated(f"magnitude:{text}@mlp")


@pytest.mark.parametrize("lines", [["# nothing"], ["0 0"], ["up_proj 0.5", "0 0", "1 0", "2 0"]])
def test_a_table_that_removes_nothing_is_refused(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"amounts\.txt removes nothing"):
        allocated(f"magnitude:{table(tmp_path, *lines)}")


def test_a_table_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe0 0.5")
    for name, reason in (("missing", "No such file"), ("", "directory"), ("binary", "it is not text")):
        with pytest.raises(BadInput, match=f"can't be read: .*{reason}"):
            allocated(f"magnitude:table={tmp_path / name}")
