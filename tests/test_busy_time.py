from __future__ import annotations

import threading
from time import sleep

import pytest

from radiodino.runtime.embed.busy_time import BusyTime


def test_time_counts_once_however_many_are_busy():
    busy = BusyTime()
    inside, leave = threading.Barrier(3, timeout=20), threading.Event()

    def work() -> None:
        with busy:
            inside.wait()
            leave.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    sleep(0.1)
    running = busy.seconds
    leave.set()
    for thread in threads:
        thread.join()
    assert 0.1 <= running <= busy.seconds
    assert busy.seconds < 10
    stopped = busy.seconds
    sleep(0.02)
    assert busy.seconds == stopped


def test_it_stops_after_an_error():
    busy = BusyTime()
    with pytest.raises(KeyError), busy:
        raise KeyError
    assert busy.seconds == busy.seconds
