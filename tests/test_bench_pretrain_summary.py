from __future__ import annotations

import pytest

from radiodino.benchmarks.contestant_process import Sample
from radiodino.benchmarks.step_summary import summarise


def sample(seconds, waited=0.0, peak=None, images=60):
    return Sample(seconds, images, waited, peak, 1.0)


def test_medians_spread_ratios_and_peaks():
    rows = summarise(
        {
            "slow": [sample(20, 5), sample(30, 3), sample(15, 6)],
            "fast": [sample(5, peak=100.0), sample(10, peak=300.0), sample(6, peak=200.0)],
        },
        ["slow", "fast"],
    )
    slow, fast = rows["slow"], rows["fast"]
    assert (slow.images_per_second, slow.slowest, slow.fastest) == pytest.approx((3, 2, 4))
    assert (fast.images_per_second, fast.slowest, fast.fastest) == pytest.approx((10, 6, 12))
    assert slow.ratios == pytest.approx((1, 0.3))
    assert fast.ratios == pytest.approx((10 / 3, 1))
    assert (slow.waiting, fast.waiting) == pytest.approx((0.25, 0))
    assert (slow.peak_mib, fast.peak_mib) == (None, 300)
