from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError
from radiodino.runtime.prefetch import prefetch


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("radiodino-prefetch")]


pools = {"workers": st.integers(1, 6), "depth": st.integers(1, 9)}


@settings(max_examples=60, deadline=None)
@given(delays=st.lists(st.integers(0, 2), max_size=25), **pools)
def test_results_come_in_the_order_of_the_items(delays, workers, depth):
    def work(numbered):
        time.sleep(numbered[1] / 2000)
        return numbered[0] * 10

    assert list(prefetch(enumerate(delays), work, workers, depth)) == [10 * index for index in range(len(delays))]
    assert not threads()


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 30), pause=st.integers(0, 29), **pools)
def test_no_more_than_depth_are_in_flight(count, pause, workers, depth):
    drawn = handed_out = 0

    def items():
        nonlocal drawn
        for index in range(count):
            drawn += 1
            assert drawn - handed_out <= depth
            yield index

    for index in prefetch(items(), lambda item: item, workers, depth):
        handed_out += 1
        if index == pause:
            time.sleep(0.002)
            assert drawn - handed_out <= depth
    assert handed_out == count


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 20), failing=st.integers(0, 19), **pools)
def test_an_error_comes_in_its_place(count, failing, workers, depth):
    def work(item):
        if item == failing:
            raise KeyError(item)
        return item

    results = prefetch(range(count), work, workers, depth)
    assert list(itertools.islice(results, min(failing, count))) == list(range(min(failing, count)))
    if failing < count:
        with pytest.raises(KeyError):
            next(results)
    with pytest.raises(StopIteration):
        next(results)
    assert not threads()


@settings(max_examples=20, deadline=None)
@given(count=st.integers(0, 12), **pools)
def test_an_error_of_the_items_comes_after_the_results_before_it(count, workers, depth):
    def items():
        yield from range(count)
        raise OSError("the list broke off")

    results = prefetch(items(), lambda item: item, workers, depth)
    assert [next(results) for _ in range(count)] == list(range(count))
    with pytest.raises(OSError, match="broke off"):
        next(results)


def test_nothing_runs_before_the_first_result_is_asked_for():
    begun = []
    results = prefetch(range(3), begun.append, 2, 2)
    assert begun == []
    results.close()
    assert begun == []


def test_an_endless_list_is_drawn_from_as_needed():
    with closing(prefetch(itertools.count(), lambda item: item * item, 3, 5)) as squares:
        assert list(itertools.islice(squares, 50)) == [n * n for n in range(50)]
    assert not threads()


def test_closing_drops_what_has_not_begun_and_joins_the_threads():
    begun = []
    release = threading.Event()

    def work(item):
        begun.append(item)
        if item:
            release.wait(10)
        return item

    results = prefetch(range(100), work, 2, 50)
    assert next(results) == 0
    threading.Timer(0.05, release.set).start()
    results.close()
    assert not threads()
    assert len(begun) <= 1 + 2 + 2  # the first, those under way, and those taken up while these ended


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, GeneratorExit, RuntimeError])
def test_an_interrupt_in_the_consumer_joins_the_threads(interruption):
    def consume():
        with closing(prefetch(range(1000), lambda item: time.sleep(0.001), 4, 16)) as results:
            next(results)
            assert threads()
            raise interruption

    with pytest.raises(interruption):
        consume()
    assert not threads()


def test_the_work_is_done_side_by_side():
    meeting = threading.Barrier(3, timeout=10)
    assert list(prefetch(range(3), lambda item: meeting.wait() >= 0, 3, 3)) == [True] * 3


@pytest.mark.parametrize(("workers", "depth"), [(0, 1), (1, 0), (-1, 4)])
def test_less_than_one_worker_or_result_is_refused_at_once(workers, depth):
    with pytest.raises(InputError, match="at least 1"):
        prefetch([], str, workers, depth)
