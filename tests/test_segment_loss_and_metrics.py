from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given
from hypothesis import strategies as st

from radiodino.train.segment.dice_loss import dice_losses, segmentation_loss
from radiodino.train.segment.metrics import overlap, summary
from radiodino.train.segment.predict import THRESHOLDS, best_threshold

CERTAIN = 100.0  # a logit whose sigmoid is 0 or 1 in float32


def logits_of(mask):
    return torch.where(mask > 0, CERTAIN, -CERTAIN)


def test_the_dice_loss_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 7, 9, generator=generator)
    masks = (torch.rand(4, 7, 9, generator=generator) > 0.6).float()
    found = dice_losses(logits, masks, smooth=2.0)
    for place in range(4):
        p, g = 1 / (1 + np.exp(-logits[place].double().numpy())), masks[place].double().numpy()
        assert float(found[place]) == pytest.approx(1 - (2 * (p * g).sum() + 2) / (p.sum() + g.sum() + 2), rel=1e-5)


def test_the_dice_loss_at_its_ends():
    empty, full = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    assert float(dice_losses(logits_of(empty), empty)) == 0
    assert float(dice_losses(logits_of(full), full)) == 0
    assert float(dice_losses(logits_of(empty), full)) == pytest.approx(1 - 1 / 17)
    assert float(dice_losses(logits_of(full), empty)) == pytest.approx(1 - 1 / 17)


def test_each_image_counts_alike_whatever_the_size_of_its_lesion():
    masks = torch.zeros(2, 8, 8)
    masks[0, 0, 0] = 1
    masks[1, :4] = 1
    logits = logits_of(masks)
    logits[0] = -CERTAIN  # the small one is missed altogether
    assert float(segmentation_loss(logits, masks)) == pytest.approx((1 - 1 / 2) / 2)


def test_the_loss_has_a_gradient_for_empty_masks_and_is_computed_in_float32():
    logits = torch.zeros(1, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 4, 4))
    assert loss.dtype == torch.float32
    loss.backward()
    assert (logits.grad > 0).all()


def test_cross_entropy_joins_by_its_weight():
    logits, masks = torch.zeros(1, 2, 2), torch.tensor([[[1.0, 0], [0, 0]]])
    plain = float(segmentation_loss(logits, masks))
    assert float(segmentation_loss(logits, masks, cross_entropy=3.0)) == pytest.approx(plain + 3 * np.log(2))


def masks(*rows):
    return torch.tensor(rows, dtype=torch.bool)[:, None]


def test_dice_and_iou_are_those_of_the_paper_and_empty_masks_follow_the_convention():
    found = masks([1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1])
    truth = masks([0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0])
    dice, iou = overlap(found, truth)
    assert dice.tolist() == [0.5, 1, 1, 0, 0]
    assert iou.tolist() == [pytest.approx(1 / 3), 1, 1, 0, 0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_iou_follows_from_dice_and_both_are_symmetric(pixels):
    one, other = (torch.tensor([list(side)]) for side in zip(*pixels, strict=True))
    dice, iou = overlap(one, other)
    assert 0 <= iou[0] <= dice[0] <= 1
    assert iou[0] == pytest.approx(dice[0] / (2 - dice[0]))
    swapped = overlap(other, one)
    assert (dice[0], iou[0]) == (swapped[0][0], swapped[1][0])


def test_the_summary_keeps_images_without_a_lesion_apart():
    dice, iou = np.array([0.8, 0.6, 1.0, 0.0]), np.array([0.7, 0.5, 1.0, 0.0])
    found = summary(dice, iou, np.array([True, True, False, False]), ["a", "b", "normal", ""])
    assert found["all"] == {"images": 4, "dice": pytest.approx(0.6), "iou": pytest.approx(0.55)}
    assert found["lesions"] == {"images": 2, "dice": pytest.approx(0.7), "iou": pytest.approx(0.6)}
    assert found["no_lesion"] == {"images": 2, "dice": 0.5, "iou": 0.5}
    assert found["by_class"] == {
        "a": {"images": 1, "dice": 0.8, "iou": 0.7},
        "b": {"images": 1, "dice": 0.6, "iou": 0.5},
        "normal": {"images": 1, "dice": 1.0, "iou": 1.0},
    }


def test_a_group_without_images_has_no_mean():
    found = summary(np.ones(1), np.ones(1), np.array([True]), ["a"])
    assert found["no_lesion"] == {"images": 0, "dice": None, "iou": None}


def test_the_threshold_is_the_best_and_among_equals_the_middle_one():
    dice = np.zeros((len(THRESHOLDS), 2))
    dice[3] = [0.9, 0.5]
    dice[7] = [0.6, 0.7]
    assert best_threshold(dice) == THRESHOLDS[3] == 0.2
    assert best_threshold(np.ones((len(THRESHOLDS), 2))) == 0.5
    dice[[7, 17]] = 0.8
    assert best_threshold(dice) == THRESHOLDS[7] == 0.4
