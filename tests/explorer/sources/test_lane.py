"""A lane does its jobs in order, can be cancelled and asked whether it is idle; lanes take turns with the models."""

from __future__ import annotations

import threading
from collections.abc import Callable

from explorer.sources.lane import Lane, Stopping, Turns


def lane(failed: Callable[[int, Exception], None] = lambda _request, _problem: None, **more: object) -> Lane:
    return Lane("test", failed, **more)  # type: ignore[arg-type]


def test_jobs_are_done_in_order_and_then_it_is_idle() -> None:
    done: list[int] = []
    both = lane()
    assert both.wait_idle(0), "nothing was asked yet"
    for number in range(5):
        both.put(lambda _stopping, number=number: done.append(number))  # type: ignore[misc]
    assert both.wait_idle(20)
    assert done == [0, 1, 2, 3, 4]
    assert both.close(20)


def test_a_job_that_fails_is_told_with_its_request_and_the_next_one_is_done() -> None:
    told: list[tuple[int, str]] = []
    done = threading.Event()
    one = lane(lambda request, problem: told.append((request, str(problem))))

    def fail(_stopping: Stopping) -> None:
        raise ValueError("no")

    one.put(fail, 7)
    one.put(lambda _stopping: done.set())
    assert one.wait_idle(20)
    assert told == [(7, "no")]
    assert done.is_set()
    one.close(20)


def _until_stopped(entered: threading.Event, stopped: list[int], number: int) -> Callable[[Stopping], None]:
    pause = threading.Event()

    def work(stopping: Stopping) -> None:
        entered.set()
        while not stopping():
            pause.wait(0.001)
        stopped.append(number)

    return work


def test_one_job_is_cancelled_and_the_others_stay() -> None:
    entered, stopped, done = threading.Event(), list[int](), threading.Event()
    one = lane()
    one.put(_until_stopped(entered, stopped, 1), 1)
    one.put(lambda stopping: None if stopping() else done.set(), 2)
    assert entered.wait(20)
    one.cancel(1)
    assert one.wait_idle(20)
    assert stopped == [1]
    assert done.is_set()
    one.close(20)


def test_a_job_is_cancelled_before_it_begins_and_one_put_afterwards_is_not() -> None:
    entered, stopped, seen = threading.Event(), list[int](), list[bool]()
    one = lane()
    one.put(_until_stopped(entered, stopped, 1), 1)
    one.put(lambda stopping: seen.append(stopping()), 2)
    one.cancel()
    one.put(lambda stopping: seen.append(stopping()), 3)
    assert one.wait_idle(20)
    assert seen == [True, False]
    one.close(20)


def test_between_jobs_it_does_something_of_its_own_until_there_is_nothing_left() -> None:
    left = [3]

    def between() -> bool:
        if left[0]:
            left[0] -= 1
            return True
        return False

    one = lane(between=between)
    one.wake()
    assert one.wait_idle(20)
    assert left == [0]
    left[0] = 2
    one.wake()
    assert one.wait_idle(20)
    assert left == [0]
    one.close(20)


def test_closing_stops_the_job_and_takes_no_other() -> None:
    entered, stopped = threading.Event(), list[int]()
    one = lane()
    one.put(_until_stopped(entered, stopped, 1), 1)
    assert entered.wait(20)
    assert one.close(20)
    one.put(lambda _stopping: stopped.append(2))
    assert one.wait_idle(0)
    assert stopped == [1]


def test_whoever_has_waited_longest_has_the_next_turn() -> None:
    turns, order, waiting = Turns(), list[str](), threading.Event()

    def second() -> None:
        waiting.set()
        with turns.turn(brief=True):
            order.append("second")

    with turns.turn():
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(20)
        while len(turns._waiting) < 2:  # until it really waits
            waiting.wait(0.001)
        turns.pass_on()
        order.append("first again")
    thread.join(20)
    assert order == ["second", "first again"]


def test_nobody_who_may_need_more_than_the_turn_is_let_in_between() -> None:
    turns, lock, order = Turns(), threading.Lock(), list[str]()

    def second() -> None:
        with turns.turn(), lock:
            order.append("second")

    with turns.turn(), lock:
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        while len(turns._waiting) < 2:  # until it really waits
            thread.join(0.001)
        turns.pass_on()
        order.append("first again")
    thread.join(20)
    assert order == ["first again", "second"]
