"""Grad-CAM against its formula written out with PyTorch's own gradient, and thresholds in closed form."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("timm")

import torch

from radiodino.runtime.errors import InputError
from radiodino.train.backbone import build_backbone
from radiodino.train.classify.classifier import Classifier
from radiodino.train.explain.grad_cam import grad_cam, threshold_mask
from radiodino.train.weights.load import sharpen_attention


@pytest.fixture(scope="module")
def classifier(toy):
    torch.manual_seed(5)
    backbone = build_backbone(toy, 48)
    sharpen_attention(backbone, 6)
    return Classifier(backbone, torch.nn.Linear(48, 3)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(2))


def head_of(model, residual, activations):
    """Logits from what enters the last block and the output of its first norm (float64)."""
    last = model.backbone.blocks[-1]
    tokens = residual + last.attn(activations)
    tokens = tokens + last.mlp(last.norm2(tokens))
    return model.head(model.backbone.norm(tokens)[:, 0])


def oracle(model, image, label):
    """The coarse map of one image in float64, its weights from finite differences."""
    model = copy.deepcopy(model).double()
    with torch.no_grad():
        tokens = model.backbone._pos_embed(model.backbone.patch_embed(image[None].double()))
        for block in model.backbone.blocks[:-1]:
            tokens = block(tokens)
        activations = model.backbone.blocks[-1].norm1(tokens)
        # the mean over the patches of the gradient is the slope along a step of all patches in one channel
        steps = torch.zeros(48, *activations.shape[1:], dtype=torch.float64)
        for channel in range(48):
            steps[channel, 1:, channel] = 1e-5 / 9
        up, down = (head_of(model, tokens, activations + sign * steps)[:, label] for sign in (1, -1))
        weights = (up - down) / 2e-5
        coarse = torch.relu((weights * activations[0, 1:]).sum(-1))
    return coarse.reshape(3, 3).numpy()


def upsampled(coarse, size):
    """Bilinear between the patches' centres, constant outside them, by hand."""
    grid = len(coarse)
    places = np.clip((np.arange(size) + 0.5) * grid / size - 0.5, 0, grid - 1)
    low = np.floor(places).astype(int)
    high, share = np.minimum(low + 1, grid - 1), places - low
    rows = coarse[low] * (1 - share)[:, None] + coarse[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def test_the_maps_are_those_of_the_formula(classifier, images):
    labels = torch.tensor([0, 1, 2, 1])
    found = grad_cam(classifier, images, labels)
    assert found.maps.shape == (4, 48, 48)
    assert torch.equal(found.classes, labels)
    for index, label in enumerate(labels.tolist()):
        expected = upsampled(oracle(classifier, images[index], label), 48)
        assert expected.max() > 0
        np.testing.assert_allclose(found.maps[index].numpy(), expected / expected.max(), atol=1e-4)


def test_each_map_reaches_from_0_to_exactly_1(classifier, images):
    found = grad_cam(classifier, images)
    assert float(found.maps.min()) >= 0
    assert found.maps.amax(dim=(1, 2)).tolist() == [1.0] * 4
    assert not found.silent.any()


def test_without_a_class_the_predicted_one_is_explained(classifier, images):
    found = grad_cam(classifier, images)
    with torch.no_grad():
        logits = classifier(images)
    assert torch.equal(found.classes, logits.argmax(1))
    torch.testing.assert_close(found.probabilities, logits.softmax(1))
    torch.testing.assert_close(grad_cam(classifier, images, found.classes).maps, found.maps)


def test_an_image_alone_has_the_map_that_it_has_in_a_batch(classifier, images):
    together = grad_cam(classifier, images, torch.full((4,), 2)).maps
    alone = torch.cat([grad_cam(classifier, image[None], torch.tensor([2])).maps for image in images])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_a_frozen_backbone_under_no_grad_serves_as_well(classifier, images):
    expected = grad_cam(classifier, images).maps
    frozen = copy.deepcopy(classifier).requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(grad_cam(frozen, images).maps, expected)


def test_nothing_is_left_behind(classifier, images):
    grad_cam(classifier, images)
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert not classifier.backbone.blocks[-1].norm1._forward_hooks
    with pytest.raises(InputError):
        grad_cam(classifier, images, torch.tensor([9, 0, 0, 0]))
    assert not classifier.backbone.blocks[-1].norm1._forward_hooks


def test_a_class_that_no_patch_speaks_for_has_a_silent_map(classifier, images):
    mute = copy.deepcopy(classifier)
    with torch.no_grad():
        mute.head.weight[0] = 0
    found = grad_cam(mute, images, torch.tensor([0, 1, 0, 1]))
    assert found.silent.tolist() == [True, False, True, False]
    assert not found.maps[0].any()
    assert not threshold_mask(found.maps)[0].any()  # 0 is not "at least 20 % of 0"


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [-1, 0, 0, 0], [0, 0]])
def test_classes_that_are_none_are_refused(classifier, images, classes):
    with pytest.raises(InputError, match="each of 4 images a class from 0 to 2"):
        grad_cam(classifier, images, torch.tensor(classes))


def test_training_mode_and_other_images_are_refused(classifier, images):
    with pytest.raises(InputError, match=r"\.eval\(\)"):
        grad_cam(copy.deepcopy(classifier).train(), images)
    with pytest.raises(InputError, match=r"\(N, 3, 48, 48\)"):
        grad_cam(classifier, torch.zeros(1, 3, 32, 32))


def test_the_threshold_is_a_share_of_each_maps_own_maximum():
    maps = torch.tensor([[[1.0, 0.2], [0.19, 0.0]], [[10.0, 2.0], [1.9, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    expected = [[[True, True], [False, False]]] * 2 + [[[False, False], [False, False]]]
    assert threshold_mask(maps, 0.2).tolist() == expected
    assert threshold_mask(maps, 1.0).sum() == 2


@pytest.mark.parametrize("threshold", [0.0, -0.2, 1.5, math.nan])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(InputError, match=r"the paper's is 0\.2"):
        threshold_mask(torch.ones(1, 2, 2), threshold)
