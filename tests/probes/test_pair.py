"""Two models from where people keep them to steps: made elsewhere, made here, and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from transformers import PreTrainedTokenizerBase

from explorer.cli.main import phier
from probes.models.rendering import prompt_tokens
from probes.pair import Pair, load_pair
from probes.schema.errors import BadInput, Cancelled
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.system.progress import Work
from tests.support.stepping import damaged
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    return save(
        tmp_path_factory.mktemp("dense"),
        tiny("llama", vocab_size=len(tokenizer)),
        tokenizer,
    )


@pytest.fixture(scope="module")
def pruned(dense: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    model = damaged(tiny("llama", vocab_size=len(tokenizer)))
    return save(tmp_path_factory.mktemp("pruned"), model, tokenizer)


SETTINGS = RunSettings("the king", follow=Follow.FREE, steps=6)


def kls(pair: Pair) -> list[float]:
    with pair.lockstep(SETTINGS) as lockstep:
        return [record.shared.p.kl for record in lockstep if record.shared]


def test_a_model_made_elsewhere_is_compared_as_it_is(dense: Path, pruned: Path) -> None:
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))
    assert all(kl > 0 for kl in kls(pair))
    header = pair.header(SETTINGS, pair.prompt(SETTINGS))
    assert header.prompt_text.endswith("<|assistant|>") or "the king" in header.prompt_text
    assert len(header.prompt_ids) > 0
    assert header.dense.fingerprint != header.pruned.fingerprint
    assert set(header.versions) == {"phier", "torch", "transformers", "python"}


def test_the_prompt_is_rendered_once_a_run(dense: Path, pruned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))
    rendered: list[str] = []
    plain = PreTrainedTokenizerBase.apply_chat_template

    def watched(tokenizer: PreTrainedTokenizerBase, conversation: Any, **options: Any) -> Any:
        rendered.append(str(conversation))
        return plain(tokenizer, conversation, **options)

    monkeypatch.setattr(PreTrainedTokenizerBase, "apply_chat_template", watched)
    prompt = pair.prompt(SETTINGS)
    header = pair.header(SETTINGS, prompt)
    assert header.prompt_ids == prompt.ids
    shown = prompt_tokens(pair.dense.tokenizer, prompt.ids)
    assert header.prompt_pieces == tuple(token.token for token in shown)
    assert [place for place, token in enumerate(shown) if token.kind == "special"] == list(header.prompt_special)
    with pair.lockstep(SETTINGS, prompt) as lockstep:
        assert list(lockstep)
    assert sum("the king" in conversation for conversation in rendered) == 1


def test_the_same_folder_twice_differs_in_nothing(dense: Path) -> None:
    assert set(kls(load_pair(PairSpec(dense=str(dense), pruned=str(dense))))) == {0}


def test_a_model_pruned_here_shares_what_is_not_pruned(dense: Path) -> None:
    pair = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5@mlp")))
    shared = {p.data_ptr() for p in pair.dense.model.parameters()}
    own = {name for name, p in pair.pruned.model.named_parameters() if p.data_ptr() not in shared}
    assert own
    assert all(".mlp." in name for name in own)
    assert pair.report is not None
    assert pair.report.zeroed == pytest.approx(pair.report.targeted / 2, rel=0.01)
    assert pair.header(SETTINGS, pair.prompt(SETTINGS)).title == "magnitude:0.5@mlp"
    assert all(kl > 0 for kl in kls(pair))


@pytest.mark.parametrize("setting", ["wanda:0.5", "wanda:2:4", "magnitude:0.3", "magnitude:2:4"])
def test_the_weights_that_go_are_as_many_as_the_setting_says(dense: Path, setting: str) -> None:
    wanted = PairSpec(dense=str(dense), prune=parse(setting), calibration=CalibrationSpec(samples=4, length=16))
    report = load_pair(wanted).report
    assert report is not None
    share = 0.3 if setting.endswith("0.3") else 0.5
    assert report.zeroed / report.targeted == pytest.approx(share, abs=0.01)
    assert len(report.mask_hash) == 64


def test_another_setting_leaves_the_dense_model_as_it_was(dense: Path) -> None:
    pair = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5")))
    before = {name: p.clone() for name, p in pair.dense.model.named_parameters()}
    first = kls(pair)
    other = pair.repruned(parse("drop-mlp@layers=1"))
    assert kls(other) != first
    again = other.repruned(parse("magnitude:0.5"))
    assert kls(again) == first
    assert all(torch.equal(p, before[name]) for name, p in pair.dense.model.named_parameters())


def test_a_table_or_a_text_that_has_changed_is_read_again(dense: Path, tmp_path: Path) -> None:
    table, text = tmp_path / "amounts.txt", tmp_path / "text.txt"
    table.write_text("0 0.25\n")
    text.write_text("the king and the hat " * 40)
    calibration = CalibrationSpec(str(text), samples=2, length=16)
    pair = load_pair(PairSpec(dense=str(dense), prune=parse(f"magnitude:table={table}"), calibration=calibration))
    first = pair.repruned(parse("wanda:0.5"))
    assert pair.report is not None
    assert first.report is not None
    table.write_text("0 0.5\n1 0.5\n")
    text.write_text("a sat cat " * 80)
    second = first.repruned(parse(f"magnitude:table={table}"))
    assert second.report is not None
    assert second.report.zeroed == pytest.approx(4 * pair.report.zeroed, rel=0.01)
    third = second.repruned(parse("wanda:0.5"))
    assert third.report is not None
    assert third.report.mask_hash != first.report.mask_hash
    fourth = third.repruned(parse(f"magnitude:table={table}"))
    assert fourth.report is not None
    assert fourth.report.mask_hash == second.report.mask_hash


def test_equal_weights_used_in_another_way_are_pruned_anew(
    dense: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    tokenizer = byte_tokenizer()
    model = tiny("llama", vocab_size=len(tokenizer), hidden_act="relu", rms_norm_eps=0.1)
    other = save(tmp_path / "other", model, tokenizer)
    calibration = CalibrationSpec(samples=2, length=16)
    first, second, third = (
        load_pair(PairSpec(dense=str(folder), prune=parse("wanda:0.5"), calibration=calibration)).report
        for folder in (dense, other, other)
    )
    assert first is not None
    assert second is not None
    assert third is not None
    assert not any("kept from an earlier" in note for note in second.notes)
    assert any("kept from an earlier" in note for note in third.notes)
    assert first.mask_hash != second.mask_hash == third.mask_hash


def test_hidden_states_of_two_widths_are_refused(dense: Path, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    narrow = save(tmp_path, tiny("llama", vocab_size=len(tokenizer), hidden_size=16), tokenizer)
    with pytest.raises(BadInput, match="32 and 16 wide"):
        load_pair(PairSpec(dense=str(dense), pruned=str(narrow)))


def test_a_setting_that_fails_or_is_cancelled_changes_nothing(dense: Path) -> None:
    pair = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5")))
    first = kls(pair)
    with pytest.raises(BadInput):
        pair.repruned(parse("magnitude:0.5@layers=77"))
    with pytest.raises(Cancelled):
        pair.repruned(parse("magnitude:0.7"), Work(cancelled=lambda: True))
    assert kls(pair) == first


def test_different_vocabularies_are_refused_by_name(dense: Path, tmp_path: Path) -> None:
    tokenizer = byte_tokenizer(merges=("th",))
    other = save(tmp_path, tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    with pytest.raises(BadInput, match="token"):
        load_pair(PairSpec(dense=str(dense), pruned=str(other)))


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(phier, ["run", *arguments])


def test_phier_run_prints_a_step_a_line_then_the_summary(dense: Path, pruned: Path, tmp_path: Path) -> None:
    recording = tmp_path / "run.jsonl"
    answer = run(
        "--dense", str(dense), "--pruned", str(pruned), "--prompt", "the king", "--follow", "free", "--steps", "5",
        "--temperature", "1", "--seed", "3", "--json", "--record", str(recording),
    )  # fmt: skip
    assert answer.exit_code == 0, answer.stderr
    *steps, last = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [step["step"] for step in steps] == [1, 2, 3, 4, 5]
    assert last["summary"]["steps"] == 5
    assert last["summary"]["kl_sum"] == pytest.approx(sum(step["p"]["kl"] for step in steps))
    assert last["settings"]["sampling"]["seed"] == 3
    assert recording.read_text().count("\n") >= 6
    again = run("--dense", str(dense), "--pruned", str(pruned), "--record", str(recording))
    assert again.exit_code == 2
    assert "never overwritten" in again.stderr


def test_phier_run_stops_where_it_was_told_to(dense: Path, pruned: Path) -> None:
    answer = run("--dense", str(dense), "--pruned", str(pruned), "--prompt", "the king", "--until", "kl>0")
    assert answer.exit_code == 0, answer.stderr
    assert "at step 1 is above 0." in answer.stdout
    assert "survival" in answer.stdout


def test_notes_and_warnings_of_both_models_and_of_the_pair_are_in_the_header_each_once(dense: Path) -> None:
    made = load_pair(PairSpec(dense=str(dense), prune=parse("magnitude:0.5")))
    told = replace(
        made,
        dense=replace(made.dense, notes=("a",), warnings=("w",)),
        pruned=replace(made.pruned, notes=("a", "b"), warnings=("x",)),
        notes=("c",),
        warnings=("w",),
    )
    header = told.header(SETTINGS, told.prompt(SETTINGS))
    assert header.every_note[:3] == ("a", "b", "c")
    assert header.every_warning == ("w", "x")


@pytest.mark.parametrize(("follow", "text"), [(Follow.FREE, ""), (Follow.TEXT, "x" * 600)])
def test_the_header_says_at_which_step_the_models_can_read_no_further(
    dense: Path, pruned: Path, follow: Follow, text: str
) -> None:
    pair = load_pair(PairSpec(dense=str(dense), pruned=str(pruned)))
    long = RunSettings("the king", follow=follow, text=text, steps=10_000, raw=True)
    short = replace(long, steps=5)
    limits = [pair.header(one, pair.prompt(one)).limit for one in (long, short)]
    with pair.lockstep(long) as lockstep:
        assert limits == [lockstep.limit, 5]
    assert limits[0] < 600
