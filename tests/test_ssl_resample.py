from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")
functional = pytest.importorskip("torchvision.transforms.functional")

from radiodino.train.ssl.crop_boxes import draw_boxes  # noqa: E402
from radiodino.train.ssl.resample import resample  # noqa: E402

ONE_LEVEL = 1 / 255


def make_images(count, channels, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def make_boxes(count, views, height, width, seed=0, scale=(0.01, 1.0)):
    generator = torch.Generator().manual_seed(seed)
    flips = torch.rand(count, views, generator=generator) < 0.5
    return draw_boxes((count, views), height, width, scale, (0.5, 2.0), generator), flips


def torchvision(image, box, flip, size):
    crop = functional.resized_crop(
        image / 255, *box.tolist(), [size, size], functional.InterpolationMode.BICUBIC, antialias=True
    )
    return functional.hflip(crop) if flip else crop


@pytest.mark.parametrize(
    ("channels", "height", "width", "size"),
    [(1, 224, 224, 96), (3, 224, 224, 224), (1, 64, 64, 96), (3, 257, 190, 98), (1, 300, 400, 48), (1, 20, 24, 60)],
)
def test_is_torchvisions_resized_crop(channels, height, width, size):
    images = make_images(3, channels, height, width)
    boxes, flips = make_boxes(3, 5, height, width)
    found = resample(images, boxes, flips, size).reshape(3, 5, channels, size, size)
    for sample in range(3):
        for view in range(5):
            expected = torchvision(images[sample], boxes[sample, view], flips[sample, view], size)
            assert (found[sample, view] - expected).abs().max() < 1e-5


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(1, 40), seed=st.integers(0, 999))
def test_is_torchvisions_resized_crop_at_any_size(height, width, size, seed):
    images = make_images(2, 1, height, width, seed)
    boxes, flips = make_boxes(2, 2, height, width, seed)
    found = resample(images, boxes, flips, size).reshape(2, 2, 1, size, size)
    for sample in range(2):
        for view in range(2):
            expected = torchvision(images[sample], boxes[sample, view], flips[sample, view], size)
            torch.testing.assert_close(found[sample, view], expected, rtol=0, atol=2e-5)


def test_is_pillows_bicubic_to_its_rounding():
    images = make_images(4, 1, 128, 160)
    boxes, flips = make_boxes(4, 4, 128, 160)
    found = resample(images, boxes, flips, 48).clamp(0, 1).reshape(4, 4, 48, 48)
    for sample in range(4):
        picture = Image.fromarray(images[sample, 0].numpy())
        for view in range(4):
            top, left, height, width = boxes[sample, view].tolist()
            crop = picture.crop((left, top, left + width, top + height)).resize((48, 48), Image.Resampling.BICUBIC)
            expected = torch.from_numpy(np.array(crop)) / 255
            expected = expected.flip(1) if flips[sample, view] else expected
            # Pillow rounds and clips after either axis, and noise makes it clip often.
            apart = (found[sample, view] - expected).abs()
            assert apart.mean() < 2 * ONE_LEVEL


def test_a_flip_is_exact():
    images = make_images(3, 3, 50, 70)
    boxes, _ = make_boxes(3, 4, 50, 70)
    plain = resample(images, boxes, torch.zeros(3, 4, dtype=torch.bool), 32)
    flipped = resample(images, boxes, torch.ones(3, 4, dtype=torch.bool), 32)
    assert torch.equal(flipped, plain.flip(-1))
    assert not torch.equal(flipped, plain)


def test_the_whole_image_at_its_own_size_is_itself():
    images = make_images(2, 3, 40, 40)
    boxes = torch.tensor([0, 0, 40, 40]).expand(2, 1, 4)
    found = resample(images, boxes, torch.zeros(2, 1, dtype=torch.bool), 40)
    torch.testing.assert_close(found, images / 255, rtol=0, atol=1e-6)


@given(level=st.integers(0, 255), size=st.integers(1, 30), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_constant_image_stays_constant(level, size, seed):
    images = torch.full((1, 1, 33, 21), level, dtype=torch.uint8)
    found = resample(images, *make_boxes(1, 3, 33, 21, seed), size)
    torch.testing.assert_close(found, torch.full((3, 1, size, size), level / 255), rtol=0, atol=1e-6)


def test_values_outside_the_box_have_no_influence():
    images = make_images(1, 1, 60, 60)
    boxes, flips = torch.tensor([[[10, 20, 31, 17]]]), torch.zeros(1, 1, dtype=torch.bool)
    expected = resample(images, boxes, flips, 12)
    changed = torch.full_like(images, 255)
    changed[..., 10:41, 20:37] = images[..., 10:41, 20:37]
    assert torch.equal(resample(changed, boxes, flips, 12), expected)


def test_a_known_longest_side_changes_nothing():
    images = make_images(2, 1, 200, 200)
    boxes, flips = make_boxes(2, 6, 200, 200, scale=(0.01, 0.1))
    longest = int(boxes[..., 2:].max())
    assert longest < 100
    found = resample(images, boxes, flips, 24, longest)
    torch.testing.assert_close(found, resample(images, boxes, flips, 24), rtol=0, atol=1e-6)


def test_compiles_to_one_graph():
    images = make_images(2, 1, 30, 30)
    boxes, flips = make_boxes(2, 2, 30, 30)
    compiled = torch.compile(resample, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images, boxes, flips, 16), resample(images, boxes, flips, 16))
