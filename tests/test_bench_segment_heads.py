"""The measurement of segmentation heads, on the toy."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")

from radiodino.benchmarks import segment_heads, segment_process  # noqa: E402
from radiodino.benchmarks.segment_heads import (  # noqa: E402
    ENGINES,
    Contestant,
    contestants_of,
    measured,
    random_segmenters,
    row_of,
)
from radiodino.runtime.errors import InputError  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.segment.pairs import SplitPairs  # noqa: E402
from radiodino.train.segment.segmenter import load_segmenter  # noqa: E402

pytestmark = pytest.mark.usefixtures("traced_once", "_toy_in_the_family")


@pytest.fixture
def _toy_in_the_family(toy, monkeypatch):
    monkeypatch.setitem(VARIANTS, "toy", toy)


@pytest.fixture
def checkpoints(toy, tmp_path):
    return random_segmenters(toy, 64, tmp_path)


class SomePairs:
    """Three images whose masks are empty, full, and half."""

    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 64, 64), np.uint8)
    masks = np.zeros((3, 64, 64), np.uint8)
    masks[1], masks[2, :32] = 1, 1


def test_both_heads_in_every_engine_with_masks_that_agree(checkpoints, toy, tmp_path):
    assert [path.name for path in checkpoints] == ["segmenter-paper.pth", "segmenter-lite.pth"]
    lite = contestants_of(checkpoints[1], tmp_path, fp16=False)
    assert [one.engine for one in lite] == list(ENGINES)
    assert all(one.head == "lite" and one.image_size == 64 for one in lite)
    split = SplitPairs(SomePairs(), np.array([False, True, True]), {"test": np.arange(3)}, "all of them")
    sample = {"seconds": [0.3, 0.1, 0.2], "peak_mib": 100.0, "compute": "fp32"}
    rows = [row_of(one, [sample, {**sample, "peak_mib": 300.0}], split, 1) for one in lite]
    assert all(row.milliseconds == 200 and row.peak_mib == 200 for row in rows)
    assert all(row.head_gmacs == pytest.approx(load_segmenter(checkpoints[1])[0].head.macs(64) / 1e9) for row in rows)
    assert 0 <= rows[0].dice <= 1
    for row in rows[1:]:
        assert (row.dice, row.dice_all) == pytest.approx((rows[0].dice, rows[0].dice_all), abs=1e-3)
    segment_heads._print(rows)
    assert row_of(lite[0], [sample], None, 1).dice is None


def test_each_measurement_is_a_process_of_its_own(toy_tasks, tmp_path):
    one = Contestant("lite", "onnxruntime", toy_tasks, toy_tasks, 64)
    (samples,) = measured([one], rounds=2, runs=3, threads=1).values()
    assert [len(sample["seconds"]) for sample in samples] == [3, 3]
    assert all(seconds > 0 for sample in samples for seconds in sample["seconds"])
    assert {sample["compute"] for sample in samples} == {"fp32"}
    if sys.platform == "linux":
        assert all(20 < sample["peak_mib"] < 2000 for sample in samples)
    with pytest.raises(InputError, match=r"lite head in onnxruntime could not be measured: .*no file"):
        measured([replace(one, file=tmp_path / "absent.onnx")], rounds=1, runs=1, threads=1)


def test_the_original_gives_masks(checkpoints, capsys):
    run, compute = segment_process.opened("torch", checkpoints[1], 1)
    assert run(np.zeros((1, 3, 64, 64), np.float32)).shape == (1, 64, 64)
    assert compute == "fp32"
    segment_process.main("torch", str(checkpoints[1]), "64", "1", "2")
    assert len(json.loads(capsys.readouterr().out)["seconds"]) == 2
