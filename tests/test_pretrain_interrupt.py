"""In processes of their own: the signal of a test is nobody else's business."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")

BEGIN = """
import os, signal, sys
from radiodino.train.pretrain.interrupt import deferred_interrupt
number = getattr(signal, sys.argv[1])
"""


def printed(code: str, number: str = "SIGINT") -> str:
    ran = subprocess.run([sys.executable, "-c", BEGIN + code, number], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interrupt_waits_for_the_end_of_the_step(number):
    code = """
before = signal.getsignal(number)
with deferred_interrupt() as interrupt:
    os.kill(os.getpid(), number)
    print(interrupt.requested)
print(signal.getsignal(number) is before)
"""
    assert printed(code, number) == "True\nTrue"


def test_a_second_one_ends_at_once():
    code = """
try:
    with deferred_interrupt():
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        print("went on")
except KeyboardInterrupt:
    print("ended")
"""
    assert printed(code) == "ended"


def test_without_an_interrupt_nothing_is_requested():
    assert printed("with deferred_interrupt() as interrupt:\n    pass\nprint(interrupt.requested)") == "False"
