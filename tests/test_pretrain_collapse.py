from __future__ import annotations

import math

import pytest

from radiodino.train.pretrain.collapse import CollapseAlarm, TrainingError


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_at_once(loss):
    with pytest.raises(TrainingError, match="step 7"):
        CollapseAlarm(100, 5).check(loss, 7)


@pytest.mark.parametrize(("loss", "diagnosis"), [(math.log(100), "uniform"), (1e-5, "one\noutput|one output")])
def test_a_collapse_is_said_after_patience(loss, diagnosis):
    alarm = CollapseAlarm(100, 5)
    for step in range(4):
        alarm.check(loss, step)
    with pytest.raises(TrainingError, match=diagnosis):
        alarm.check(loss, 4)


def test_a_loss_that_moves_is_no_collapse():
    alarm = CollapseAlarm(100, 5)
    for step in range(50):
        alarm.check(math.log(100) * (1 - 0.01 * (step % 5)), step)
