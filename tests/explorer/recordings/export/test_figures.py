"""Figures show the records' own values, say what they leave out, and don't depend on colour, fonts or the day."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from explorer.recordings.export import export_recordings
from explorer.recordings.export.drawings import FIGURE_NAMES, material, print_figure
from explorer.recordings.export.matplotlib_axes import COLOURS, LINE_STYLES, MARKERS, turn
from explorer.recordings.export.panels import HeatMap, Panel, PrintFigure, Scatter
from explorer.recordings.export.wrapping import in_font, lines_in_font
from explorer.sources.toy.step import Accidents
from probes.recording import read
from probes.schema.errors import BadInput
from probes.schema.events import Event, RunStarted
from probes.schema.header import RunHeader
from probes.schema.settings import Follow
from tests.support.findings import sample_findings
from tests.support.records import recorded_events, records, write_events

ACCIDENTS = Accidents(invalid=30, infinite=7)
LONG = "wanda:0.5@mlp+drop-attn@layers=20,22,24,26+dense@layers=3,4,5"
SHIPPED = Path(__file__).parents[4] / "sessions"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write_events(tmp_path / "run.jsonl", recorded_events(30, accidents=ACCIDENTS))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_events(tmp_path / "other.jsonl", recorded_events(20, setting="wanda:0.3"))


@pytest.fixture
def loose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels stand where they stand by default: finding room for each takes half of the time, and only tests of what
    is drawn where need it."""
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", lambda *_: None)


def made(name: str, *paths: Path, own: bool = False) -> PrintFigure:
    found = print_figure(name, material([read(path) for path in paths], own=own))
    assert isinstance(found, PrintFigure)
    return found


def changed(events: list[Event], change: Callable[[RunHeader], RunHeader]) -> list[Event]:
    """The same run under another header."""
    return [replace(e, header=change(e.header)) if isinstance(e, RunStarted) else e for e in events]


def groups(path: Path, beginning: str) -> list[str]:
    """Names of the parts of an SVG, in the order in which they are drawn."""
    root = ElementTree.fromstring(path.read_bytes())
    return [name for element in root.iter() if (name := element.get("id", "")).startswith(beginning)]


def panel(drawn: PrintFigure, axis: str) -> Panel:
    return next(one for one in drawn.panels if isinstance(one, Panel) and one.axis == axis)


def test_the_six_panels_hold_the_shared_contexts_figures(recording: Path) -> None:
    drawn = made("panels", recording)
    shared = [record.shared for record in records(recorded_events(30, accidents=ACCIDENTS))]
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
    plain = [record.own.p.kl if record.own else None for record in records(recorded_events(30, accidents=ACCIDENTS))]
    drawn = made("probability", recording, own=True)
    assert list(panel(drawn, "KL(p‖q)").curves[0].values) == plain
    assert "Each model on its own text" in drawn.caption


def test_drift_sets_local_against_total_and_is_refused_where_they_are_one(
    recording: Path, tmp_path: Path, loose: None
) -> None:
    path = records(recorded_events(30, accidents=ACCIDENTS))
    drawn = made("drift", recording)
    assert [curve.values for curve in panel(drawn, "ΣKL").curves] == [
        (*(record.sum.kl_shared for record in path[:29]), None),
        (*(record.sum.kl for record in path[:29]), None),
    ], "the last step is invalid and adds nothing"
    dense = write_events(tmp_path / "dense.jsonl", recorded_events(10, follow=Follow.DENSE))
    assert "the two are one" in str(print_figure("drift", material([read(dense)])))
    done = export_recordings([dense], "svg", tmp_path / "x")
    assert len(done.paths) == len(FIGURE_NAMES) - 3, "no step was explained and no token watched either"
    assert any("shared against own" in note for note in done.notes)
    with pytest.raises(BadInput, match="shared against own"):
        export_recordings([dense], "svg", tmp_path / "x", figures=["drift"])


def test_points_that_can_not_stand_on_the_axes_are_counted(recording: Path) -> None:
    drawn = made("estimates", recording)
    kl = next(one for one in drawn.panels if isinstance(one, Scatter) and one.up == "KL(p‖q)")
    shared = [s.p for record in records(recorded_events(30, accidents=ACCIDENTS)) if (s := record.shared)]
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
    assert len(set(map(str, LINE_STYLES))) == len(LINE_STYLES)
    assert len(set(MARKERS)) == len(MARKERS) == len(LINE_STYLES)
    assert len({(place % len(COLOURS), turn(place)) for place in range(30)}) == 30
    curves = panel(made("panels", recording, other), "cos h").curves
    assert [curve.label for curve in curves] == ["wanda:0.5", "wanda:0.3"]
    assert [len(curve.values) for curve in curves] == [30, 20]


def test_an_axis_goes_by_powers_of_ten_only_where_values_span_them(recording: Path) -> None:
    assert panel(made("probability", recording), "KL(p‖q)").powers
    assert not panel(made("probability", recording), "cos p").powers


@pytest.mark.parametrize("name", ["dropped-attention", "collapse"])
def test_sums_end_with_the_last_step_that_added_to_them_and_are_marked_there(
    name: str, tmp_path: Path, loose: None
) -> None:
    path = SHIPPED / f"{name}.jsonl"
    records = read(path).last.path
    drawn = made("drift", path)
    last = {
        0: max(record.step for record in records if record.shared),
        1: max(record.step for record in records if record.own),
    }
    for curve in panel(drawn, "ΣKL").curves:
        values = [record.sum.kl if curve.variant else record.sum.kl_shared for record in records]
        assert list(curve.values[: last[curve.variant]]) == values[: last[curve.variant]]
        assert set(curve.values[last[curve.variant] :]) <= {None}
        assert len(curve.values) == len(records)
    early = sorted(f"end-0-{variant}" for variant, step in last.items() if step < len(records))
    assert early
    [svg] = export_recordings([path], "svg", tmp_path / "x", figures=["drift"]).paths
    assert sorted(groups(svg, "end-")) == sorted(early * 2), "one in each panel"
    assert "■\u00a0at the end of a curve" in drawn.caption


def test_no_end_is_marked_where_the_axis_ends_too(tmp_path: Path, loose: None) -> None:
    path = SHIPPED / "mild.jsonl"
    assert "■" not in made("sums", path).caption
    [svg] = export_recordings([path], "svg", tmp_path / "x", figures=["sums"]).paths
    assert groups(svg, "end-") == []


def test_survival_is_local_also_where_the_sum_is_total() -> None:
    path = SHIPPED / "collapse.jsonl"
    records = read(path).last.path
    drawn = made("sums", path, own=True)
    [own], [survival] = panel(drawn, "ΣKL").curves, panel(drawn, "survival").curves
    assert list(own.values) == [record.sum.kl if record.step <= 14 else None for record in records]
    assert list(survival.values) == [record.sum.survival for record in records]
    assert "ΣKL is of each model on its own text" in drawn.caption
    assert "Both models read one text" in made("sums", path).caption


def test_total_that_is_the_same_as_local_is_said(tmp_path: Path, loose: None) -> None:
    done = export_recordings([SHIPPED / "mild.jsonl"], "svg", tmp_path / "x", own=True, figures=["sums"])
    assert any("Own and shared figures are the same" in note for note in done.notes)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("name", ["estimates", "drift"])
def test_of_a_pair_the_second_curve_lies_on_a_broader_paler_first(
    recording: Path, other: Path, tmp_path: Path, several: bool, name: str, loose: None
) -> None:
    paths = [recording, other] if several else [recording]
    [svg] = export_recordings(paths, "svg", tmp_path / "x", figures=[name]).paths
    order = groups(svg, "curve-")
    curves = {
        element.get("id", ""): next(path.get("style", "") for path in element if path.tag.endswith("}path"))
        for element in ElementTree.fromstring(svg.read_bytes()).iter()
        if element.get("id", "").startswith("curve-0-")
    }
    assert max(place for place, one in enumerate(order[: 2 * len(paths)]) if one.endswith("-0")) < len(paths)
    widths = {key: float(re.findall(r"stroke-width: ([\d.]+)", style)[0]) for key, style in curves.items()}
    colours = {key: re.findall(r"stroke: (#\w+)", style)[0] for key, style in curves.items()}
    assert widths["curve-0-0"] > 2 * widths["curve-0-1"]
    assert colours["curve-0-0"] != colours["curve-0-1"]
    assert "dasharray" in curves["curve-0-1"]
    assert "dasharray" not in curves["curve-0-0"]
    assert [one.replace("thread", "curve") for one in groups(svg, "thread-")] == [
        one for one in order if dashed(svg, one)
    ], "a thin line holds dashes together"


def dashed(svg: Path, curve: str) -> bool:
    found = next(one for one in ElementTree.fromstring(svg.read_bytes()).iter() if one.get("id") == curve)
    return any("dasharray" in path.get("style", "") for path in found)


@pytest.mark.parametrize(
    ("setting", "figures"),
    [(LONG, ["cosines"]), ("magnitude:0.05@attn+" * 6 + LONG, ["estimates"]), ("x" * 300, ["cosines", "estimates"])],
)
def test_nothing_runs_out_of_the_picture(tmp_path: Path, setting: str, figures: list[str]) -> None:
    import matplotlib.image

    paths = [
        write_events(tmp_path / f"{number}.jsonl", recorded_events(8, setting=setting + number)) for number in "123"
    ]
    for path in export_recordings(paths, "png", tmp_path / "x", figures=figures).paths:
        picture = matplotlib.image.imread(path)[:, :, :3]
        assert (picture[:, -6:] == 1).all(), "the right edge is white"
        assert (picture[:, :6] == 1).all(), "so is the left one"
        assert (picture[-6:] == 1).all()


def test_lines_are_broken_by_width_and_settings_at_their_joints() -> None:
    measure = in_font("DejaVu Sans", 6.5)
    text = f"{LONG} of {'i' * 200} and {LONG}; 4.9\u00a0% of iiii WWWW" + " W" * 60
    lines = lines_in_font(text, 180, measure)
    assert all(measure(line) <= 180 for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert lines[:2] == ["wanda:0.5@mlp+drop-attn@layers=20,22,24,26+", "dense@layers=3,4,5 of"]
    assert lines_in_font(LONG, 90, measure) == [
        "wanda:0.5@mlp+",
        "drop-attn@",
        "layers=20,22,24,26+",
        "dense@layers=3,4,5",
    ]
    assert any("4.9\u00a0%" in line for line in lines)
    narrow = lines_in_font("iiiiiiiii " * 9, 180, measure)
    assert len(narrow[0]) > 2 * len(lines_in_font("WWWWWWWWW " * 9, 180, measure)[0])
    assert lines_in_font(" \n", 180, measure) == []


def test_other_prompts_and_other_dense_models_are_told_in_the_caption_and_in_notes(
    recording: Path, tmp_path: Path, loose: None
) -> None:
    events = recorded_events(20, setting="wanda:0.3")
    prompt = write_events(
        tmp_path / "prompt.jsonl",
        changed(events, lambda header: replace(header, prompt_text="Another.", prompt_ids=(1, 2, 3))),
    )
    model = write_events(
        tmp_path / "model.jsonl",
        changed(
            events, lambda header: replace(header, dense=replace(header.dense, name="Other-1B", fingerprint="ab" * 32))
        ),
    )
    alike = write_events(tmp_path / "alike.jsonl", events)
    for to in ("svg", "html"):
        figures = ["sums"] if to == "svg" else []
        assert export_recordings([recording, alike], to, tmp_path / "x", figures=figures).notes == ()
        assert any(
            "The prompts differ" in n
            for n in export_recordings([recording, prompt], to, tmp_path, figures=figures).notes
        )
        notes = export_recordings([recording, model], to, tmp_path / "x", figures=figures).notes
        assert any("The dense models differ" in note for note in notes)
    assert "The prompts differ: wanda:0.3 reads another text than wanda:0.5" in made("sums", recording, prompt).caption
    first = read(recording).last.header.dense.name
    caption = made("sums", recording, model).caption
    assert "The dense models differ" in caption
    assert f"{first} against wanda:0.5" in caption
    assert "Other-1B against wanda:0.3" in caption
    assert made("sums", recording, alike).caption.count(first) == 1


def test_weights_are_named_where_two_dense_models_have_one_name(recording: Path, tmp_path: Path) -> None:
    retrained = write_events(
        tmp_path / "retrained.jsonl",
        changed(recorded_events(9), lambda h: replace(h, dense=replace(h.dense, fingerprint="cafe0123" + "0" * 56))),
    )
    assert "(weights cafe0123) against" in made("sums", recording, retrained).caption


def test_samplers_that_differ_are_told_for_each_recording(recording: Path, tmp_path: Path) -> None:
    sampled = write_events(tmp_path / "sampled.jsonl", recorded_events(9, setting="wanda:0.3", seed=5))
    caption = made("sums", recording, sampled).caption
    assert re.search(r"wanda:0\.5[^;]*greedy.*; wanda:0\.3[^;]*seed 5", caption)


@pytest.mark.parametrize(
    ("to", "options", "named"),
    [
        ("csv", {"figures": ["sums"]}, "--figures"),
        ("html", {"figures": ["sums"]}, "--figures"),
        ("svg", {"every": True}, "--every"),
        ("html", {"every": True}, "--every"),
        ("parquet", {"own": True}, "--own"),
        ("html", {"own": True}, "--own"),
        ("jsonl", {"caption": False}, "--no-caption"),
    ],
)
def test_an_option_that_the_format_has_no_use_for_is_refused(
    recording: Path, tmp_path: Path, to: str, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(BadInput, match=named):
        export_recordings([recording], to, tmp_path / "x", **options)  # type: ignore[arg-type]  # of several types
    assert not list(tmp_path.glob("x*"))


def test_svg_holds_outlines_and_no_text_that_needs_a_font(recording: Path, tmp_path: Path) -> None:
    [path] = export_recordings([recording], "svg", tmp_path / "x", figures=["probability"]).paths
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
    [first] = export_recordings([recording, other], to, tmp_path / "a", figures=["drift"]).paths
    [again] = export_recordings([recording, other], to, tmp_path / "b", figures=["drift"]).paths
    assert first.read_bytes() == again.read_bytes()


def test_png_is_wide_enough_for_print_and_pdf_embeds_its_fonts(recording: Path, tmp_path: Path) -> None:
    [png] = export_recordings([recording], "png", tmp_path / "x", figures=["sums"]).paths
    header = png.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(header[16:20]) == round(6.9 * 300)
    [pdf] = export_recordings([recording], "pdf", tmp_path / "x", figures=["sums"]).paths
    content = pdf.read_bytes()
    assert re.search(rb"/FontFile2\b", content)
    assert b"/Type3" not in content


def test_a_caption_takes_room_only_where_wanted(recording: Path, tmp_path: Path) -> None:
    heights = []
    for caption in (True, False):
        [svg] = export_recordings([recording], "svg", tmp_path / "x", figures=["sums"], caption=caption).paths
        root = ElementTree.fromstring(svg.read_bytes())
        heights.append(float(root.get("height", "").removesuffix("pt")))
    assert heights[0] > heights[1] + 20


def test_names_from_a_file_are_drawn_and_never_obeyed(tmp_path: Path, loose: None) -> None:
    setting = "$\\frac{1}{</text>\x1b[31m\x00$"
    path = write_events(tmp_path / "run.jsonl", recorded_events(8, setting=setting))
    other = write_events(tmp_path / "other.jsonl", recorded_events(8))
    done = export_recordings([path, other], "svg", tmp_path / "x")
    for one in done.paths:
        ElementTree.fromstring(one.read_bytes())
    assert any("drawn as boxes" in note for note in done.notes)


def test_formulas_are_set_as_formulas_and_none_shows_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.cbook import is_math_text
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    events = [*recorded_events(30, watch='A=" and"', accidents=ACCIDENTS), *sample_findings(step=3)]
    path = write_events(tmp_path / "run.jsonl", events)
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_args, **_options: saved.append(figure))
    export_recordings([path], "svg", tmp_path / "x")
    assert len(saved) == len(FIGURE_NAMES)
    texts = [text for figure in saved for text in figure.findobj(Text) if isinstance(text, Text)]
    as_formula = [text.get_text() for text in texts if text.get_parse_math() and is_math_text(text.get_text())]
    as_written = {text.get_text() for text in texts} - set(as_formula)
    assert {text for text in as_written if "$" in text or "\\" in text} == set()
    for formula in (r"$\cos h$", r"KL$(p\,\|\,q)$ (nat)", r"$\Sigma$KL (nat)", r"rms $\Delta z$ (logits)"):
        assert formula in as_formula


def test_single_steps_and_steps_without_figures_can_be_drawn_with_their_watched_tokens(
    tmp_path: Path, loose: None
) -> None:
    for name, watch, accidents in (("one", 'A=" and"', Accidents()), ("none", "", Accidents(invalid=1))):
        path = write_events(tmp_path / f"{name}.jsonl", recorded_events(1, watch=watch, accidents=accidents))
        paths = export_recordings([path], "svg", tmp_path / name).paths
        assert len(paths) > 4
        assert any(one.name.endswith(".watched.svg") for one in paths) is bool(watch)


def test_each_watched_group_has_a_panel_of_p_and_q(recording: Path, tmp_path: Path, loose: None) -> None:
    watch = 'A=" and" | "$\\\\frac{1}{</b>$"=#7'
    path = write_events(tmp_path / "watched.jsonl", recorded_events(8, watch=watch))
    drawn = print_figure("watched", material([read(path)]))
    assert isinstance(drawn, PrintFigure)
    first, second, kl = drawn.panels
    assert isinstance(first, Panel)
    assert isinstance(second, Panel)
    assert isinstance(kl, Panel)
    shared = [record.shared.watched for record in records(recorded_events(8, watch=watch)) if record.shared]
    assert first.axis == "A"
    assert [curve.values for curve in first.curves] == [
        tuple(one.groups[0].p for one in shared if one),
        tuple(one.groups[0].q for one in shared if one),
    ]
    assert kl.curves[0].values == tuple(one.kl for one in shared if one)
    (svg,) = export_recordings([path], "svg", tmp_path / "x", figures=["watched"]).paths
    ElementTree.fromstring(svg.read_bytes())
    assert "none were watched" in str(print_figure("watched", material([read(recording)])))
    assert "watch different ones" in str(print_figure("watched", material([read(path), read(recording)])))


def test_unknown_figures_and_a_missing_library_are_sentences(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="no figure 'kl'"):
        export_recordings([recording], "svg", tmp_path / "x", figures=["kl"])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match=r"phier\[figures\]"):
        export_recordings([recording], "svg", tmp_path / "x")


def test_layers_are_drawn_by_step_where_they_were_recorded(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No figure of layers"):
        export_recordings([recording], "svg", tmp_path / "x", figures=["layers"])
    path = write_events(
        tmp_path / "why.jsonl", [*recorded_events(6), *sample_findings(step=3), *sample_findings(step=5)]
    )
    drawn = print_figure("layers", material([read(path)]))
    assert isinstance(drawn, PrintFigure)
    own, other = drawn.panels
    assert isinstance(own, HeatMap)
    assert isinstance(other, HeatMap)
    assert own.rows == ("attn 0", "mlp 0", "attn 1", "mlp 1", "attn 2", "mlp 2")
    assert own.values[2] == (None, None, 0.2, None, 0.2, None)
    assert other.values[-1] == (None, None, math.inf, None, math.inf, None)
    assert "nats" in own.unit
    assert "Grey: not explained" in drawn.caption
    (svg,) = export_recordings([path], "svg", tmp_path / "x", figures=["layers"]).paths
    ElementTree.fromstring(svg.read_bytes())
    two = export_recordings([path, recording], "png", tmp_path / "y", figures=["layers"])
    assert two.paths[0].read_bytes().startswith(b"\x89PNG")
