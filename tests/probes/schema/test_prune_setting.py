"""Settings are read as they are written, and a fault is pointed at."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.schema.prune_setting import (
    BadSetting,
    Count,
    FittedShare,
    Method,
    Owl,
    Pattern,
    Ratio,
    Setting,
    SettingPart,
    Table,
    Targets,
    parse,
)

UNSTRUCTURED = [method for method in Method if method.unstructured]
ratios = st.floats(0.001, 1).map(lambda x: Ratio(float(f"{x:g}")))
patterns = st.integers(2, 16).flatmap(lambda m: st.integers(1, m - 1).map(lambda n: Pattern(n, m)))
paths = st.text(alphabet='ab/ .+@":=\\\n\u00e9', min_size=1) | st.text(min_size=1)
tables = paths.map(Table)
layers = st.none() | st.sets(st.integers(0, 99), min_size=1).map(lambda found: tuple(sorted(found)))
names = st.lists(st.sampled_from(["up_proj", "q_proj", "mlp.fc1"]), unique=True).map(lambda n: tuple(sorted(n)))


@st.composite
def parts(draw: st.DrawFn) -> SettingPart:
    method = draw(st.sampled_from(Method))
    if method is Method.DENSE:
        return SettingPart(method, None, Targets(draw(st.sampled_from(["", "attn", "mlp"])), draw(layers), draw(names)))
    if method is Method.RESTORE:
        targets = Targets(draw(st.sampled_from(["", "attn", "mlp"])), draw(layers), draw(names))
        return SettingPart(method, FittedShare(draw(ratios).value, draw(paths)), targets)
    if method.unstructured:
        targets = Targets(draw(st.sampled_from(["", "attn", "mlp"])), draw(layers), draw(names))
        amounts = ratios | patterns if method is Method.MAGNITUDE_GLOBAL else ratios | patterns | tables
        return SettingPart(method, draw(amounts), targets)
    targets = Targets(layers=draw(layers))
    if method.structured:
        return SettingPart(method, draw(ratios), targets)
    if targets.layers is not None and draw(st.booleans()):
        return SettingPart(method, None, targets)
    share = ratios.filter(lambda ratio: ratio.value < 1)  # "drop-attn:1" is one layer, not all of them
    return SettingPart(method, draw(share | st.integers(1, 99).map(Count)), targets)


@given(st.lists(parts(), min_size=1, max_size=4))
def test_a_setting_reads_back_from_its_own_text(found: list[SettingPart]) -> None:
    setting = Setting(tuple(found))
    assert parse(str(setting)) == setting


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("wanda:0.50", "wanda:0.5"),
        (" WANDA:50% ", "wanda:0.5"),
        ("magnitude:2:4@mlp", "magnitude:2:4@mlp"),
        ("sparsegpt:0.5@layers=8-21 + drop-attn@layers=22,20", "sparsegpt:0.5@layers=8-21+drop-attn@layers=20,22"),
        ("drop-attn@layers=3,1,2,9", "drop-attn@layers=1-3,9"),
        ("random:0.3@name=up_proj,down_proj@mlp", "random:0.3@mlp@name=down_proj,up_proj"),
        ("wanda:owl=0.7", "wanda:owl=0.7"),
        ("wanda:table=ratios.txt@attn", "wanda:table=ratios.txt@attn"),
        ('wanda:table="ratios.txt"', "wanda:table=ratios.txt"),
        ('magnitude:table="a+b@c.txt"@attn', 'magnitude:table="a+b@c.txt"@attn'),
        ('wanda:table="say ""so"".txt" + wanda:0.5', 'wanda:table="say ""so"".txt"+wanda:0.5'),
        ('wanda:table=a"b.txt', 'wanda:table="a""b.txt"'),
        ('wanda:table=" a "', 'wanda:table=" a "'),
        ("drop-block:3", "drop-block:3"),
        ("wanda:0.5+dense@attn@layers=3", "wanda:0.5+dense@attn@layers=3"),
        ("wanda:0.5+restore:1%@file=a.json", "wanda:0.5+restore:0.01@file=a.json"),
        ('wanda:0.5 + restore:0.01@file="a+b"@layers=1@mlp', 'wanda:0.5+restore:0.01@file="a+b"@mlp@layers=1'),
    ],
)
def test_the_canonical_text_is_short_and_sorted(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize("path", ["a+b.txt", "/runs/layers@8/ratios+more.txt", "a@b", '"', '"a"+"b"', "x:2:4@mlp", " "])
def test_any_file_can_be_named_as_a_table(path: str) -> None:
    setting = Setting((SettingPart(Method.WANDA, Table(path), Targets("mlp")), SettingPart(Method.RANDOM, Ratio(0.5))))
    assert parse(str(setting)) == setting


def test_amounts_are_what_they_look_like() -> None:
    amounts = [part.amount for part in parse("wanda:0.5+wanda:2:4+drop-mlp:2+wanda:owl=0.5+random:table=a").parts]
    assert amounts == [Ratio(0.5), Pattern(2, 4), Count(2), Owl(0.5), Table("a")]


@pytest.mark.parametrize(
    ("text", "fault", "reason"),
    [
        ("", "", "empty"),
        ("wandra:0.5", "wandra", "not a method"),
        ("wanda:0.5+", "", "method is missing"),
        ("wanda", "", "needs an amount"),
        ("wanda:", "", "amount is missing"),
        ("wanda:half", "half", "not an amount"),
        ("wanda:0", "0", "removes nothing"),
        ("wanda:nan", "nan", "not a ratio"),
        ("random:0.1+wanda:1.5", "1.5", "between 0 and 1"),
        ("wanda:4:2", "4:2", "removes nothing"),
        ("heads:2:4", "2:4", "no N:M"),
        ("drop-mlp", "", "needs an amount"),
        ("drop-mlp:0", "0", "removes nothing"),
        ("drop-mlp:100%", "100%", "can't be dropped by a ratio"),
        ("wanda:0.5@nose", "nose", "not a target"),
        ("wanda:0.5@layers=3-1,2", "3-1", "not a layer"),
        ("wanda:0.5@layers=", "", "layer is missing"),
        ("drop-attn:1@mlp", "mlp", "names its sublayer"),
        ("wanda:0.5@mlp@attn", "attn", "named twice"),
        ("neurons:0.5@name=up_proj", "name=up_proj", "not a target"),
        ("magnitude-global:owl=0.5", "owl=0.5", "no ratio for each layer"),
        ("wanda:table=", "table=", "no file name"),
        ('wanda:table=""', 'table=""', "no file name"),
        ('wanda:table="a@mlp', 'table="a', "don't match"),
        ('wanda:table="a"b@mlp', 'table="a"b', "don't match"),
        ("magnitude:0.5+dense:0.5", ":0.5", "takes no amount"),
        ("wanda:0.5+restore", "", "needs a share"),
        ("wanda:0.5+restore@file=a", "", "needs a share"),
        ("wanda:0.5+restore:0.01", "", "needs the file"),
        ("wanda:0.5+restore:0.01@mlp@file=a", "", "needs the file"),
        ("wanda:0.5+restore:2@file=a", "2", "between 0 and 1"),
        ("wanda:0.5+restore:2:4@file=a", "2:4", "not an amount"),
        ("wanda:0.5+restore:0.1@file=", "file=", "has no name"),
        ("wanda:0.5+restore:0.1@file=a@file=b", "file=b", "not a target"),
    ],
)
def test_a_fault_is_pointed_at(text: str, fault: str, reason: str) -> None:
    with pytest.raises(BadSetting, match=reason) as caught:
        parse(text)
    assert caught.value.text[caught.value.start : caught.value.end] == fault
    setting, carets = caught.value.pointer.split("\n")
    assert setting == text
    assert carets.index("^") == caught.value.start
    assert caught.value.hint


@given(st.text(alphabet='wandasprgt-:@+=0123456789.,%lyen" ', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = parse(text)
    except BadSetting as problem:
        start, end = problem.start, problem.end
    else:
        assert parse(str(read)) == read
        start = end = 0
    assert 0 <= start <= end <= len(text)


def test_settings_are_read_without_torch() -> None:
    code = (
        "import sys; from probes.schema.prune_setting import parse; parse('wanda:0.5')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
