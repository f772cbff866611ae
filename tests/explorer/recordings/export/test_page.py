"""The page opens offline in a real browser, has one cursor, and shows whatever a model wrote as text."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs

from explorer.recordings.export.matplotlib_axes import COLOURS
from explorer.recordings.export.page import page, script_data
from explorer.sources.toy.step import Accidents
from explorer.words.token_text import flowing, quoted
from probes.recording import read
from probes.schema.events import Event, RunStarted, StepMeasured
from probes.schema.record import Comparison, StepRecord
from probes.schema.settings import Follow
from probes.schema.watch import WatchedGroup
from tests.support.browser import Browser
from tests.support.findings import sample_findings
from tests.support.records import HOSTILE, recorded_events, records, with_own, write_events

EVENTS = recorded_events(40, accidents=Accidents(infinite=9), fork_at=5)
PATH = records(EVENTS)[:40]
SHIPPED = Path(__file__).parents[4] / "sessions"


def made(folder: Path, *runs: list[Event]) -> Path:
    """The page of some recordings, as a file."""
    sessions = [read(write_events(folder / f"{place}.jsonl", events)) for place, events in enumerate(runs)]
    path = folder / "page.html"
    path.write_bytes(page(sessions))
    return path


def hostile_events() -> list[Event]:
    """A run in which every token, every name and the prompt are what a page must not act upon."""

    def poisoned(record: StepRecord) -> StepRecord:
        text = HOSTILE[record.step % len(HOSTILE)]
        return replace(
            record,
            dense=replace(record.dense, token=text) if record.dense else None,
            pruned=replace(record.pruned, token=text) if record.pruned else None,
            taken=replace(record.taken, token=text, text=text) if record.taken else None,
            taken_pruned=replace(record.taken_pruned, token=text, text=text) if record.taken_pruned else None,
            own=poisoned_table(record.own, text),
            shared=poisoned_table(record.shared, text),
        )

    def poisoned_table(compared: Comparison | None, text: str) -> Comparison | None:
        return compared and replace(compared, top=tuple(structs.replace(row, token=text) for row in compared.top))

    events: list[Event] = []
    for event in recorded_events(18):
        match event:
            case StepMeasured():
                events.append(replace(event, record=poisoned(event.record)))
            case RunStarted():
                evil = "".join(HOSTILE) + "{{data}}{{script}}"
                watched = (WatchedGroup(evil, (evil,)), WatchedGroup("b", (3,)))
                header = event.header
                assert header.prune is not None
                events.append(
                    replace(
                        event,
                        header=replace(
                            header,
                            dense=replace(header.dense, name=evil, device=evil),
                            prune=replace(header.prune, setting=evil),
                            settings=replace(header.settings, prompt=evil, watch=watched),
                            prompt_text=evil,
                            started=evil,
                        ),
                    )
                )
            case _:
                events.append(event)
    return events


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


@pytest.fixture
def clean(browser: Browser) -> Browser:
    """The browser, with nothing noted yet."""
    browser.problems.clear()
    browser.requested.clear()
    return browser


class Elements(HTMLParser):
    """Names and attributes of everything in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


# The page as text ---------------------------------------------------------------------------------------------


def test_the_page_refers_to_nothing_outside_itself(tmp_path: Path) -> None:
    text = made(tmp_path, EVENTS).read_text()
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & Elements(text).names
    assert not {"src", "href", "style"} & Elements(text).attributes
    assert "default-src 'none'" in text


def test_both_texts_can_be_read_without_a_script(tmp_path: Path) -> None:
    text = made(tmp_path, EVENTS).read_text()
    for side in ("dense", "pruned"):
        section = text.split(f'<h2 class="{side}">')[1].split("</section>")[0]
        shown = re.sub(r"<b class=\"mark\">.*?</b>|<[^>]*>", "", section.split("<p>")[1])
        taken = [record.taken if side == "dense" else record.taken_pruned or record.taken for record in PATH]
        assert shown == "".join(flowing(one.text).replace("↵", "↵\n") for one in taken if one)


def test_hostile_text_adds_no_element_and_ends_none(tmp_path: Path) -> None:
    runs = (recorded_events(18), hostile_events())
    innocent, evil = (Elements(made(tmp_path, events).read_text()) for events in runs)
    assert evil.names <= innocent.names
    assert evil.attributes <= innocent.attributes
    text = made(tmp_path, hostile_events()).read_text()
    assert text.count("</script>") == 2
    assert "\u2028" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("text", HOSTILE)
def test_script_data_is_the_same_data_and_can_not_end_its_script(text: str) -> None:
    written = script_data([text])
    assert json.loads(written) == [text]
    assert not set("<>&\u2028\u2029") & set(written)


def test_a_step_that_can_not_be_read_is_marked_in_the_texts(tmp_path: Path) -> None:
    path = write_events(tmp_path / "a.jsonl", EVENTS)
    raw = path.read_bytes().split(b"\n")
    raw[4] = b"{"
    path.write_bytes(b"\n".join(raw))
    text = page([read(path)]).decode()
    assert text.count("▢</span>") == 2
    assert "Step 3 is missing." in text


# The page in a browser ----------------------------------------------------------------------------------------


@pytest.mark.browser
def test_the_page_opens_without_a_network_and_without_a_complaint(tmp_path: Path, clean: Browser) -> None:
    path = made(tmp_path, EVENTS)
    clean.open(path)
    assert clean.problems == []
    assert clean.requested == [path.as_uri()]
    assert clean.value("document.querySelectorAll('.chart').length") == 6


@pytest.mark.browser
def test_the_page_opens_where_the_texts_part_or_else_at_the_highest_kl(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS))
    split = next(record.step for record in PATH if record.split)
    assert split > 1
    assert clean.text("#place") == f"step {split} of 40"
    clean.open(made(tmp_path, recorded_events(split - 1, accidents=Accidents(infinite=9))))
    assert clean.text("#place") == f"step 9 of {split - 1}", "the infinite one"


@pytest.mark.browser
def test_one_cursor_moves_texts_charts_and_table(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS), "#3")
    for key, shift, step in (("ArrowRight", False, 4), ("ArrowRight", True, 14), ("ArrowLeft", False, 13)):
        before = clean.value("[...charts.values()].map(chart => chart.needle.getAttribute('x1'))")
        clean.press(key, shift=shift)
        assert clean.text("#place") == f"step {step} of 40"
        assert clean.value("location.hash") == f"#{step}"
        here = clean.value("[...document.querySelectorAll('.here')].map(token => token.dataset.step)")
        assert here == [str(step)] * 2
        after = clean.value("[...charts.values()].map(chart => chart.needle.getAttribute('x1'))")
        assert len(set(after)) == 1
        assert after[0] != before[0]
        rows = clean.value("[...document.querySelectorAll('#tokens tbody tr td:first-child')].map(c => c.textContent)")
        record = PATH[step - 1]
        tables = [record.own.top] if record.same_context else [record.shared.top, record.own.top]
        assert rows == [quoted(row.token) for table in tables for row in table]
    assert clean.problems == []


@pytest.mark.browser
def test_split_and_worst_are_one_key_away(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS))
    clean.press("g")
    split = next(record.step for record in PATH if record.split)
    assert clean.text("#place") == f"step {split} of 40"
    clean.press("G", shift=True)
    assert clean.text("#place") == "step 9 of 40", "the infinite one"
    assert "infinite" in clean.text("#reading")


@pytest.mark.browser
def test_a_click_on_a_token_or_a_chart_moves_the_cursor_there(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS))
    clean.click("[data-step='17']")
    assert clean.text("#place") == "step 17 of 40"
    clean.click("#chart-kl > svg", across=0.999)
    assert clean.text("#place") == "step 40 of 40"
    clean.click("[data-go='back']")
    assert clean.text("#place") == "step 39 of 40"


@pytest.mark.browser
def test_play_goes_on_by_itself_and_stops_at_the_end(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS), "#37")
    clean.press(" ")
    clean.value("new Promise(done => setTimeout(done, 1000))")
    assert clean.text("#place") == "step 40 of 40"
    assert clean.value("document.querySelector('[data-go=play]').ariaPressed") == "false"


@pytest.mark.browser
def test_charts_break_where_a_figure_is_not_finite_and_mark_it(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, recorded_events(20, follow=Follow.DENSE, accidents=Accidents(infinite=9))))
    assert clean.value("document.querySelectorAll('#chart-kl > svg .oddmark').length") == 2
    marks = clean.value("[...document.querySelectorAll('#chart-kl > svg .oddmark')].map(m => m.textContent)")
    assert marks == ["▲", "×"], "an infinite KL, an undefined estimate"
    path = clean.value("document.querySelector('#chart-kl > svg path.solid').getAttribute('d')")
    assert path.count("M") == 2
    assert path.count("L") == 17


@pytest.mark.browser
def test_a_chart_of_many_steps_keeps_every_spike(tmp_path: Path, clean: Browser) -> None:
    [start, *_], steps = EVENTS, PATH[:8]
    calm = steps[1]
    assert calm.own is not None
    spike = with_own(calm, p=replace(calm.own.p, kl=77.0))
    many = [replace(spike if step == 1321 else calm, step=step) for step in range(1, 2501)]
    clean.open(made(tmp_path, [start, *(StepMeasured(1, 0, record) for record in many)]), "#2500")
    clean.press("l")
    path = clean.value("document.querySelector('#chart-kl > svg path.solid').getAttribute('d')")
    heights = sorted({float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)})
    assert len(heights) == 2
    assert path.count("L") < 2500
    assert clean.text("#place") == "step 2500 of 2500"
    assert clean.problems == []


@pytest.mark.browser
def test_of_several_recordings_one_is_chosen_and_the_others_stay_in_the_charts(tmp_path: Path, clean: Browser) -> None:
    clean.open(made(tmp_path, EVENTS, recorded_events(30, setting="wanda:0.2")), "#2.7")
    assert clean.text("h1") != ""
    assert clean.value("[...document.querySelectorAll('article')].map(a => a.hidden)") == [True, False]
    assert clean.text("#place") == "step 7 of 30"
    assert clean.value("document.querySelectorAll('#chart-h path.other').length") == 1
    clean.click("[data-choose='0']")
    assert clean.text("#place") == "step 7 of 40"
    assert clean.value("location.hash") == "#1.7"
    assert clean.problems == []


@pytest.mark.browser
def test_each_watched_group_has_a_chart_beside_the_same_group_of_other_recordings(
    tmp_path: Path, clean: Browser
) -> None:
    runs = [recorded_events(12, watch=text) for text in ('A=" and" | B=" half"', 'A=" and" | C=" in"', "")]
    clean.open(made(tmp_path, *runs), "#1.7")
    titles = "[...document.querySelectorAll('[id^=chart-watched] b')].map(title => title.textContent)"
    assert clean.value(titles) == ["p and q of A", "p and q of B", "KL over the watched groups [nat] ↓"]
    others = "document.querySelectorAll('#chart-watched-%s path.other').length"
    assert [clean.value(others % place) for place in ("0", "1", "kl")] == [1, 0, 1]
    clean.click("[data-choose='2']")
    assert clean.value(titles) == []
    assert clean.problems == []


@pytest.mark.browser
def test_each_of_several_recordings_has_a_look_and_a_name_of_its_own(tmp_path: Path, clean: Browser) -> None:
    runs = [recorded_events(20, setting=f"wanda:0.{number}") for number in range(1, 5)]
    clean.open(made(tmp_path, *runs), "#2.7")
    looks = """[...document.querySelectorAll('%s path.other')].map(path => {
        const style = getComputedStyle(path); return [style.stroke, style.strokeDasharray]; })"""
    drawn, named = clean.value(looks % "#chart-h"), clean.value(looks % "#who")
    assert drawn == named
    assert len({colour for colour, _ in drawn}) == len({dashes for _, dashes in drawn}) == 3
    solid = "getComputedStyle(document.querySelector('#chart-h path.solid')).stroke"
    assert clean.value(solid) not in {colour for colour, _ in drawn}
    names = clean.value("[...document.querySelectorAll('#who > span')].map(name => name.textContent)")
    assert names == ["wanda:0.2 (shown)", "wanda:0.1", "wanda:0.3", "wanda:0.4"]
    assert clean.problems == []


def test_the_page_has_the_figures_colours(tmp_path: Path) -> None:
    light = made(tmp_path, EVENTS).read_text().split("@media")[0]
    assert tuple(re.findall(r"--c\d: (#\w+);", light)) == COLOURS


@pytest.mark.browser
def test_sums_end_where_measuring_did_with_a_mark_that_is_explained(tmp_path: Path, clean: Browser) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page([read(SHIPPED / "collapse.jsonl")]))
    clean.open(path)
    ends = "(id) => charts.get(id).chart.lines.map(line => line.values.findLastIndex(value => value !== null) + 1)"
    assert clean.value(f"({ends})('sum')") == [65, 14]
    assert clean.value(f"({ends})('survival')") == [65]
    marks = "[...document.querySelectorAll('#chart-sum .endmark')]"
    assert clean.value(f"{marks}.map(mark => mark.classList.contains('dashed'))") == [True]
    at = clean.value(f"Number({marks}[0].getAttribute('x')) + 2.5 - charts.get('sum').x(14)")
    assert abs(at) < 0.01
    assert "■ the last step" in clean.text("#who")
    path.write_bytes(page([read(SHIPPED / "mild.jsonl")]))
    clean.open(path)
    assert clean.value("document.querySelectorAll('.endmark').length") == 0
    assert "■" not in clean.text("#who")


def test_recordings_that_can_not_be_compared_are_told_on_the_page(tmp_path: Path) -> None:
    other = [
        replace(e, header=replace(e.header, prompt_text="<b>Another", prompt_ids=(1, 2)))
        if isinstance(e, RunStarted)
        else e
        for e in recorded_events(9, setting="wanda:<i>")
    ]
    text = made(tmp_path, EVENTS, other).read_text()
    assert '<p class="note">The prompts differ: wanda:&lt;i&gt; reads another text' in text
    assert "The prompts differ" not in made(tmp_path, EVENTS, recorded_events(9, setting="wanda:0.3")).read_text()


@pytest.mark.browser
def test_what_a_model_wrote_never_acts(tmp_path: Path, clean: Browser) -> None:
    path = made(tmp_path, hostile_events())
    clean.open(path)
    for _ in range(18):
        clean.press("ArrowRight")
    assert clean.text("#place") == "step 18 of 18"
    assert clean.problems == []
    assert clean.requested == [path.as_uri()]
    assert clean.value("document.images.length + document.scripts.length") == 2
    cells = clean.value("[...document.querySelectorAll('#tokens td:first-child')].map(cell => cell.textContent)")
    assert cells
    assert set(cells) == {quoted(HOSTILE[18 % len(HOSTILE)])}
    assert HOSTILE[0] in clean.value("document.querySelector('article').textContent")


@pytest.mark.browser
def test_the_policy_refuses_a_script_that_is_not_the_pages_own(tmp_path: Path, clean: Browser) -> None:
    path = made(tmp_path, EVENTS)
    path.write_text(path.read_text().replace("<main>", "<main><script>window.broken = 1</script>", 1))
    clean.open(path)
    assert clean.value("typeof window.broken") == "undefined"
    assert any("Content Security Policy" in problem for problem in clean.problems)


def test_what_explains_a_step_is_on_the_page_and_its_tokens_are_data(tmp_path: Path) -> None:
    findings = sample_findings(step=3)
    hostile = [replace(e, notes=(HOSTILE[0],)) for e in findings]
    text = made(tmp_path, [*recorded_events(6), *hostile]).read_text()
    assert '<details class="why"><summary>Explained: 1 step</summary>' in text, "closed: charts are below"
    assert "Step 3: parting layer attn 1" in text
    assert "largest heal mlp 2 (0.300)" in text
    assert "confident flip" in text
    assert "Heal: one dense sublayer in the pruned model" in text
    assert "<td>mlp</td>" in text
    assert html.escape(HOSTILE[0]) in text
    assert HOSTILE[0] not in text
    assert 'class="why"' not in made(tmp_path, recorded_events(6)).read_text()
