from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

from torchvision.transforms import AutoAugment  # noqa: E402

from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402
from radiodino.train.classify.augment import autoaugment  # noqa: E402
from radiodino.train.classify.inputs import FeatureInputs, ImageInputs  # noqa: E402
from radiodino.train.pretrain.sampler import generator  # noqa: E402


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(3).integers(0, 256, (12, 1, 24, 24), np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 11))
def test_it_is_torchvisions_autoaugment(pixels, seed, index):
    found = autoaugment(pixels[index], generator(seed))
    with torch.random.fork_rng():
        torch.manual_seed(generator(seed).initial_seed())
        wanted = AutoAugment()(Image.fromarray(pixels[index, 0]))
    assert np.array_equal(found[0], np.asarray(wanted))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**62), st.integers(0, 11))
def test_one_grey_channel_ends_as_three_equal_ones(pixels, seed, index):
    grey = autoaugment(pixels[index], generator(seed))
    colour = autoaugment(pixels[index].repeat(3, axis=0), generator(seed))
    assert grey.shape == (1, 24, 24)
    assert colour.shape == (3, 24, 24)
    assert np.array_equal(colour, grey.repeat(3, axis=0))


def test_most_images_are_changed_and_the_given_ones_never(pixels):
    before = pixels.copy()
    changed = [not np.array_equal(autoaugment(pixels[0], generator(seed)), pixels[0]) for seed in range(40)]
    assert sum(changed) > 25
    assert np.array_equal(pixels, before)


def test_augmentation_depends_on_seed_fold_epoch_and_image_alone(pixels):
    inputs = ImageInputs(pixels, "autoaugment", 5)
    whole = inputs.training(np.arange(12), 1, 2)
    shuffled = inputs.training(np.array([7, 3, 9]), 1, 2)
    assert torch.equal(shuffled, whole[[7, 3, 9]])
    for other in (ImageInputs(pixels, "autoaugment", 6).training(np.arange(12), 1, 2),
                  inputs.training(np.arange(12), 2, 2), inputs.training(np.arange(12), 1, 3)):  # fmt: skip
        assert not torch.equal(other, whole)


def test_the_random_state_of_the_process_stays(pixels):
    before = torch.get_rng_state()
    ImageInputs(pixels, "autoaugment", 5).training(np.arange(12), 1, 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_augmentation_images_come_as_they_are(pixels):
    inputs = ImageInputs(pixels, "none", 5)
    for batch in (inputs.training(np.array([4, 2]), 1, 1), inputs.plain(np.array([4, 2]))):
        assert batch.dtype == torch.uint8
        assert np.array_equal(batch.numpy(), pixels[[4, 2]])


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_normalised_to_the_bit_as_the_runtime_does(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (5, channels, 24, 24), np.uint8)
    inputs = ImageInputs(pixels, "none", 0)
    found = inputs.prepare(inputs.plain(np.arange(5)))
    runtime = Preprocessor(Preprocessing(resize=(24, 24)))
    wanted = [runtime(Image.fromarray(p[0] if channels == 1 else p.transpose(1, 2, 0))) for p in pixels]
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), np.stack(wanted))


def test_features_are_the_same_whenever_they_are_asked_for():
    inputs = FeatureInputs(torch.arange(12.0).view(4, 3))
    rows = np.array([3, 0])
    for batch in (inputs.training(rows, 1, 1), inputs.training(rows, 2, 9), inputs.prepare(inputs.plain(rows))):
        assert batch.tolist() == [[9, 10, 11], [0, 1, 2]]
