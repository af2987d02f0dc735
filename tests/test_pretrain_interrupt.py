from __future__ import annotations

import os
import signal

import pytest

from radiodino.train.pretrain.interrupt import deferred_interrupt

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_step(number):
    before = signal.getsignal(number)
    with deferred_interrupt() as interrupt:
        os.kill(os.getpid(), number)
        assert interrupt.requested
    assert signal.getsignal(number) is before


def test_a_second_one_ends_at_once():
    def twice():
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        twice()


def test_without_an_interrupt_nothing_is_requested():
    with deferred_interrupt() as interrupt:
        pass
    assert not interrupt.requested
