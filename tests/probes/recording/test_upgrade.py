"""A recording of an older format opens as one of the present format, with the same figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from probes.recording import read
from probes.recording.upgrade import FORMAT, OLDEST, upgraded
from tests.support.records import lines_of, recorded_events

FIXTURES = Path(__file__).parents[2] / "fixtures"
SHIPPED = Path(__file__).parents[3] / "sessions"
FIRST = [FIXTURES / "recording_1.jsonl", FIXTURES / "collapse_1.jsonl"]
"""Files of format 1: a scripted run with a fork and infinite figures, and the beginning of a recording that ships."""


def plain(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted path; floats as they are written, so that they are compared to the last bit."""
    if not isinstance(node, dict | list):
        yield path, node.hex() if isinstance(node, float) else node
        return
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        yield from leaves(child, f"{path}.{key}".lstrip("."))


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_only_the_names_change(path: Path) -> None:
    for old in plain(path):
        if old["kind"] == "paused":
            continue  # its sentence becomes values
        before, after = dict(leaves(old)), dict(leaves(upgraded(old, 1)))
        assert list(before.values()) == [1 if place == "format" else value for place, value in after.items()]
        for name, renamed in zip(before, after, strict=True):
            assert renamed == name.replace("kl_local", "kl_shared").replace("local", "shared")


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_a_file_of_the_first_format_opens_whole(path: Path) -> None:
    found, lines = read(path), plain(path)
    assert (found.format, found.notes) == (1, [])
    assert found.last.steps == sum(line["kind"] == "step" for line in lines)
    steps = {line["step"]: line for line in lines if line["kind"] == "step" and line["branch"] == 0}
    for record in found.last.path:
        old = steps[record.step]
        written = old["sum"]["kl_local"]
        assert record.sum.kl_shared == (float("inf") if written is None else written)
        if old["local"] is not None and "local.p.kl" not in old.get("nonfinite", {}):
            assert record.shared is not None
            assert record.shared.p.kl == old["local"]["p"]["kl"]


def test_a_figure_that_is_not_finite_keeps_its_place() -> None:
    record = next(record for record in read(FIRST[0]).last.path if record.sum.kl_shared == float("inf"))
    assert record.shared is not None
    assert record.shared.p.kl == float("inf")


def test_the_recordings_that_ship_are_the_upgraded_ones() -> None:
    lines = (SHIPPED / "collapse.jsonl").read_bytes().splitlines()
    old = plain(FIXTURES / "collapse_1.jsonl")
    assert [json.loads(line) for line in lines[: len(old)]] == [upgraded(line, 1) for line in old]
    for path in SHIPPED.glob("*.jsonl"):
        assert read(path).format == FORMAT


def test_a_condition_on_the_sum_keeps_its_meaning() -> None:
    """In the first format `sum.kl>20` tested the sum on the shared context."""
    line = {"kind": "resumed", "run": 1, "until": ["sum.kl > 20", "kl>2", "token=sum.kl>", "split"]}
    assert upgraded(line, 1)["until"] == ["sum.kl_shared > 20", "kl>2", "token=sum.kl>", "split"]


def test_lines_whose_header_is_lost_are_read_in_either_format(tmp_path: Path) -> None:
    for name, lines in (("old", FIRST[0].read_bytes().splitlines()), ("new", lines_of(recorded_events(6)))):
        path = tmp_path / f"{name}.jsonl"
        path.write_bytes(b"\n".join(line.strip() for line in lines[1:]) + b"\n")
        found = read(path)
        assert found.notes == ["The header can't be read, so the models are not known."]
        assert found.last.path[-1].sum.kl_shared > 0


def test_an_upgrade_leaves_a_newer_line_as_it_is() -> None:
    for raw in lines_of(recorded_events(24)):
        line = json.loads(raw)
        assert upgraded(line, OLDEST) == line


@pytest.mark.parametrize("version", [0, -7])
def test_a_format_that_never_was_is_named(version: int, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(FIRST[0].read_bytes().replace(b'"format":1', b'"format":%d' % version, 1))
    assert f"Line 1 can't be read and is skipped: its format, {version}, is unknown." in read(path).notes


def test_a_newer_format_is_named_and_read_as_far_as_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "newer.jsonl"
    path.write_bytes((SHIPPED / "collapse.jsonl").read_bytes().replace(b'"format":2', b'"format":3', 1))
    found = read(path)
    assert found.notes == [
        "The recording is in format 3, of a newer version of phier. "
        "This version reads format 2 and shows what it knows."
    ]
    assert found.last.path == read(SHIPPED / "collapse.jsonl").last.path


def test_conditions_that_are_no_text_are_damage(tmp_path: Path) -> None:
    lines = FIRST[0].read_bytes().splitlines(keepends=True)
    resumed = json.loads(lines[1])
    assert resumed["kind"] == "resumed"
    path = tmp_path / "odd.jsonl"
    path.write_bytes(lines[0] + json.dumps({**resumed, "until": [5]}).encode() + b"\n" + b"".join(lines[2:]))
    assert read(path).notes == ["Line 2 can't be read and is skipped: Expected `str`, got `int` - at `$.until[0]`."]
