"""How many threads a CPU computes with."""

from __future__ import annotations

import os
import threading

import pytest
import torch

from probes.pair import load_pair
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.spec import LoadOptions, PairSpec
from probes.system import threads
from probes.system.threads import fastest, median_seconds, side_by_side, use_threads
from tests.support.tiny import byte_tokenizer, save, tiny


@pytest.fixture(autouse=True)
def _four_by_default(monkeypatch: pytest.MonkeyPatch):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_settled", {})
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def wide():
    return tiny("llama", hidden_size=256, intermediate_size=512, vocab_size=len(byte_tokenizer()))


def taking(monkeypatch: pytest.MonkeyPatch, seconds: dict[int, float]) -> list[list[int]]:
    """Makes each number of threads take these seconds; returns what is tried."""
    tried: list[list[int]] = []

    def pretend(numbers, work, _enough):
        tried.append(list(numbers))
        work()
        return {number: seconds[number] for number in numbers}

    monkeypatch.setattr(threads, "median_seconds", pretend)
    return tried


def test_a_busy_machine_gets_fewer_threads_and_a_sentence(wide, monkeypatch):
    tried = taking(monkeypatch, {1: 0.5, 2: 1.0, 4: 3.0})
    said = use_threads(wide)
    assert torch.get_num_threads() == 1
    assert said == (
        "The models compute with 1 thread, as 4 were 6.0 times slower when they were loaded. --threads 4 forces 4."
    )
    assert use_threads(wide) == said, "the second model of a process is not measured again"
    assert tried == [[1, 2, 4]]


def test_the_default_stays_unless_another_number_is_clearly_faster(wide, monkeypatch):
    taking(monkeypatch, {1: 1.0, 2: 0.9, 4: 1.1})
    assert use_threads(wide) == ""
    assert torch.get_num_threads() == 4
    assert fastest({1: 1.0, 4: 1.2}, 4) == 4
    assert fastest({1: 1.0, 4: 1.3}, 4) == 1


def test_what_is_asked_for_is_used_and_nothing_measured(wide, monkeypatch):
    tried = taking(monkeypatch, {})
    assert use_threads(wide, 3) == ""
    assert torch.get_num_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert use_threads(wide) == ""
    assert torch.get_num_threads() == 3
    assert not tried


def test_matrices_that_one_thread_multiplies_are_not_measured(monkeypatch):
    tried = taking(monkeypatch, {})
    assert use_threads(tiny("llama")) == ""
    assert (torch.get_num_threads(), tried) == (4, [])


def test_a_measurement_tries_all_numbers_in_turn_and_puts_the_old_one_back():
    for enough, rounds in ((True, 3), (False, 7)):
        seen: list[int] = []
        found = median_seconds([1, 2], lambda seen=seen: seen.append(torch.get_num_threads()), lambda _, e=enough: e)
        assert seen == [1, 2] * rounds
        assert found.keys() == {1, 2}
        assert torch.get_num_threads() == 4


@pytest.mark.parametrize("number", [-1, 10_000_000])
def test_numbers_that_the_machine_does_not_have_are_refused(number):
    with pytest.raises(BadInput, match=f"Threads: {number} threads can't be used: this machine has {os.cpu_count()}"):
        LoadOptions(threads=number)


def test_the_sentence_is_a_note_of_the_pair_and_the_number_is_handed_through(wide, monkeypatch, tmp_path):
    folder = save(tmp_path / "dense", wide, byte_tokenizer())
    taking(monkeypatch, {1: 0.5, 2: 1.0, 4: 3.0})
    pair = load_pair(PairSpec(dense=str(folder), prune=parse("magnitude:0.5")))
    assert any("--threads 4" in note for note in pair.every_note)
    load_pair(PairSpec(dense=str(folder), prune=parse("magnitude:0.5"), load=LoadOptions(threads=2)))
    assert torch.get_num_threads() == 2


def test_tasks_side_by_side_compute_with_one_thread_each_and_answer_in_order():
    both = threading.Barrier(2, timeout=20)

    def task(number):
        if number < 2:
            both.wait()  # at the same time
        return number, torch.get_num_threads(), threading.current_thread()

    found = side_by_side([lambda number=number: task(number) for number in range(6)])
    assert [number for number, *_ in found] == [*range(6)]
    assert {threads for _, threads, _ in found} == {1}
    assert torch.get_num_threads() == 4
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [4]
    with pytest.raises(ZeroDivisionError):
        side_by_side([lambda: 1, lambda: 1 // 0])


def test_with_one_thread_tasks_run_where_they_are_asked_for():
    torch.set_num_threads(1)
    assert side_by_side([threading.current_thread] * 2) == [threading.current_thread()] * 2
