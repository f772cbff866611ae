"""Figures show the records' own values, say what they leave out, and don't depend on colour, fonts or the day."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from explorer.export import export
from explorer.export.drawings import NAMES, Drawing, Panel, Scatter, drawing, material, powers
from explorer.export.figures import DASHES, MARKERS
from explorer.scripted import Accidents
from probes.errors import BadInput
from probes.session import read
from probes.settings import Follow
from tests.records import records, session_events, write_events

ACCIDENTS = Accidents(invalid=30, infinite=7)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_events(tmp_path / "run.jsonl", session_events(30, accidents=ACCIDENTS))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_events(tmp_path / "other.jsonl", session_events(20, setting="wanda:0.3"))


def made(name: str, *paths: Path, total: bool = False) -> Drawing:
    found = drawing(name, material([read(path) for path in paths], total=total))
    assert isinstance(found, Drawing)
    return found


def panel(drawn: Drawing, axis: str) -> Panel:
    return next(one for one in drawn.panels if isinstance(one, Panel) and one.axis == axis)


def test_the_six_panels_hold_the_shared_contexts_figures(recording: Path) -> None:
    drawn = made("panels", recording)
    shared = [record.shared for record in records(session_events(30, accidents=ACCIDENTS))]
    expected = {
        "cos h": [s.h.cos if s else None for s in shared],
        "cos z, centred": [s.z.cos_centred if s else None for s in shared],
        "cos p": [s.p.cos if s else None for s in shared],
        "rms Δz": [s.z.rms if s else None for s in shared],
        "Var Δz": [s.z.rms_centred**2 if s else None for s in shared],
        "KL(p‖q)": [s.p.kl if s else None for s in shared],
    }
    assert [one.axis for one in drawn.panels if isinstance(one, Panel)] == list(expected)
    for axis, values in expected.items():
        assert list(panel(drawn, axis).curves[0].values) == pytest.approx(values, nan_ok=True)
    assert panel(drawn, "KL(p‖q)").curves[0].values[6] == math.inf
    assert panel(drawn, "KL(p‖q)").curves[0].values[29] is None


def test_total_figures_are_each_models_own_context(recording: Path) -> None:
    plain = [record.p.kl if record.p else None for record in records(session_events(30, accidents=ACCIDENTS))]
    drawn = made("probability", recording, total=True)
    assert list(panel(drawn, "KL(p‖q)").curves[0].values) == plain
    assert "Each model on its own text" in drawn.caption


def test_drift_sets_local_against_total_and_is_refused_where_they_are_one(recording: Path, tmp_path: Path) -> None:
    path = records(session_events(30, accidents=ACCIDENTS))
    drawn = made("drift", recording)
    assert [curve.values for curve in panel(drawn, "ΣKL").curves] == [
        tuple(record.sum.kl_local for record in path),
        tuple(record.sum.kl for record in path),
    ]
    dense = write_events(tmp_path / "dense.jsonl", session_events(10, follow=Follow.DENSE))
    assert "the two are one" in str(drawing("drift", material([read(dense)])))
    done = export([dense], "svg", tmp_path / "x")
    assert len(done.paths) == len(NAMES) - 1
    assert any("local against total" in note for note in done.notes)
    with pytest.raises(BadInput, match="local against total"):
        export([dense], "svg", tmp_path / "x", figures=["drift"])


def test_points_that_can_not_stand_on_the_axes_are_counted(recording: Path) -> None:
    drawn = made("estimates", recording)
    kl = next(one for one in drawn.panels if isinstance(one, Scatter) and one.up == "KL(p‖q)")
    shared = [s.p for record in records(session_events(30, accidents=ACCIDENTS)) if (s := record.shared)]
    assert list(kl.points[0]) == [(p.kl_estimate, p.kl) for p in shared if math.isfinite(p.kl)]
    assert kl.left_out == 1
    assert "1 step is 0 or not finite" in drawn.caption


def test_captions_say_what_was_run_and_explain_the_marks(recording: Path, other: Path) -> None:
    caption = made("probability", recording, other).caption
    for words in (
        "wanda:0.5",
        "wanda:0.3",
        "each writing its own text",
        "greedy",
        "T\u00a0=\u00a01",
        "△\u00a0infinite",
        "choices differ",
    ):
        assert words in caption
    assert "△" not in made("probability", other).caption


def test_several_recordings_are_told_apart_by_more_than_colour(recording: Path, other: Path) -> None:
    assert len(set(map(str, DASHES))) == len(DASHES)
    assert len(set(MARKERS)) == len(MARKERS)
    curves = panel(made("panels", recording, other), "cos h").curves
    assert [curve.label for curve in curves] == ["wanda:0.5", "wanda:0.3"]
    assert [len(curve.values) for curve in curves] == [30, 20]


def test_an_axis_goes_by_powers_of_ten_only_where_values_span_them(recording: Path) -> None:
    assert powers(panel(made("probability", recording), "KL(p‖q)"))
    assert not powers(panel(made("probability", recording), "cos p"))


def test_svg_holds_outlines_and_no_text_that_needs_a_font(recording: Path, tmp_path: Path) -> None:
    [path] = export([recording], "svg", tmp_path / "x", figures=["probability"]).paths
    assert path.name == "x.svg"
    root = ElementTree.fromstring(path.read_bytes())
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "path" in names
    assert "text" not in names
    assert "image" not in names
    marks = [element.get("id", "") for element in root.iter() if element.get("id", "").startswith("odd-")]
    assert marks == ["odd-^-0-0"]


@pytest.mark.parametrize("to", ["svg", "png", "pdf"])
def test_the_same_recording_gives_the_same_bytes(recording: Path, other: Path, tmp_path: Path, to: str) -> None:
    [first] = export([recording, other], to, tmp_path / "a", figures=["drift"]).paths
    [again] = export([recording, other], to, tmp_path / "b", figures=["drift"]).paths
    assert first.read_bytes() == again.read_bytes()


def test_png_is_wide_enough_for_print_and_pdf_embeds_its_fonts(recording: Path, tmp_path: Path) -> None:
    [png] = export([recording], "png", tmp_path / "x", figures=["sums"]).paths
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20]) == round(6.9 * 300)
    [pdf] = export([recording], "pdf", tmp_path / "x", figures=["sums"]).paths
    content = pdf.read_bytes()
    assert re.search(rb"/FontFile2\b", content)
    assert b"/Type3" not in content


def test_a_caption_takes_room_only_where_wanted(recording: Path, tmp_path: Path) -> None:
    heights = []
    for caption in (True, False):
        [svg] = export([recording], "svg", tmp_path / "x", figures=["sums"], caption=caption).paths
        root = ElementTree.fromstring(svg.read_bytes())
        heights.append(float(root.get("height", "").removesuffix("pt")))
    assert heights[0] > heights[1] + 20


def test_names_from_a_file_are_drawn_and_never_obeyed(tmp_path: Path) -> None:
    setting = "$\\frac{1}{</text>\x1b[31m\x00$"
    path = write_events(tmp_path / "run.jsonl", session_events(8, setting=setting))
    other = write_events(tmp_path / "other.jsonl", session_events(8))
    done = export([path, other], "svg", tmp_path / "x")
    for one in done.paths:
        ElementTree.fromstring(one.read_bytes())
    assert any("drawn as boxes" in note for note in done.notes)


def test_single_steps_and_steps_without_figures_can_be_drawn(tmp_path: Path) -> None:
    for name, steps, accidents in (("one", 1, Accidents()), ("none", 1, Accidents(invalid=1))):
        path = write_events(tmp_path / f"{name}.jsonl", session_events(steps, accidents=accidents))
        assert export([path], "svg", tmp_path / name).paths


def test_unknown_figures_and_a_missing_library_are_sentences(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="no figure 'kl'"):
        export([recording], "svg", tmp_path / "x", figures=["kl"])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match=r"phier\[figures\]"):
        export([recording], "svg", tmp_path / "x")
