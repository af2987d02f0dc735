from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from radiodino.runtime.errors import InputError

torch = pytest.importorskip("torch")
transforms = pytest.importorskip("torchvision.transforms")

from radiodino.train.ssl import crops as module  # noqa: E402
from radiodino.train.ssl.classic_crops import classic_crop  # noqa: E402
from radiodino.train.ssl.crop_parameters import draw_global, draw_local  # noqa: E402
from radiodino.train.ssl.crop_settings import DINO_CROPS, DINOV2_CROPS  # noqa: E402
from radiodino.train.ssl.crops import global_crops, local_crops, make_crops  # noqa: E402

SMALL = replace(DINO_CROPS, global_size=48, local_size=32, local_count=4)
SMALL_V2 = replace(DINOV2_CROPS, global_size=42, local_size=28, local_count=4)


def make_images(count, channels=1, size=80, seed=0):
    """Shapes with edges, gradients and some noise, uint8 (count, channels, size, size)."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    images = []
    for _ in range(count):
        layers = []
        for _ in range(channels):
            a, b, c, d = random.uniform(0.2, 0.8, 4)
            disc = ((x - a) ** 2 + (y - b) ** 2 < 0.1 * c) * 150.0
            layers.append(60 * d + disc + 50 * np.sin(9 * x * a + 7 * y * b) + random.normal(0, 6, (size, size)))
        images.append(np.clip(layers, 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(images))


def pictures(images):
    """The same as PIL images."""
    found = [image.permute(1, 2, 0).numpy() for image in images]
    return [Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in found]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def levels(crops, settings):
    """Normalised crops as values of 0..255."""
    mean, std = (torch.tensor(x)[:, None, None] for x in (settings.mean, settings.std))
    return (crops * std + mean) * 255


@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_and_types(channels):
    images = make_images(3, channels)
    large, small = global_crops(images, SMALL, seeded()), local_crops(images, SMALL, seeded())
    assert large.shape == (2, 3, 3, 48, 48)
    assert small.shape == (4, 3, 3, 32, 32)
    assert large.dtype == small.dtype == torch.float32
    assert large.is_contiguous()
    for found in (large, small):
        values = levels(found, SMALL)
        assert values.min() >= -1e-3
        assert values.max() <= 255 + 1e-3


@pytest.mark.parametrize("settings", [SMALL, SMALL_V2], ids=["dino", "dinov2"])
@pytest.mark.parametrize(("channels", "mean", "most"), [(1, 1.0, 1.8), (3, 2.0, 3.5)])
def test_given_the_same_choices_both_paths_make_the_same_crops(settings, channels, mean, most):
    """To the rounding of the classic path, which keeps 8 bits after each of up to nine steps (and of hue)."""
    images = make_images(12, channels)
    for draw, size in ((draw_global, settings.global_size), (draw_local, settings.local_size)):
        chosen = draw(settings, 12, 80, 80, seeded(1))
        found = make_crops(images, chosen, size, settings)
        expected = [
            [classic_crop(picture, chosen.samples(slice(n, n + 1)), view, size, settings) for view in range(len(found))]
            for n, picture in enumerate(pictures(images))
        ]
        expected = torch.stack([torch.stack(views) for views in expected]).transpose(0, 1)
        apart = (levels(found, settings) - levels(expected, settings)).abs()
        assert apart.mean() < mean
        assert apart.mean((2, 3, 4)).max() < most  # of any one crop


def official(settings, size, scale, kind):
    """The augmentation put together from torchvision's own random transforms, apart from the blur's choice of width."""

    def blur(picture):
        low, high = settings.blur_sigma
        return picture.filter(ImageFilter.GaussianBlur(low + (high - low) * float(torch.rand(1))))

    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=scale, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([blur], p=settings.blur[kind]),
            transforms.RandomSolarize(128, p=settings.solarise[kind]),
            transforms.ToTensor(),
            transforms.Normalize(settings.mean, settings.std),
        ]
    )


@pytest.mark.parametrize(("kind", "size", "scale"), [(0, 48, (0.4, 1.0)), (1, 48, (0.4, 1.0)), (2, 32, (0.05, 0.4))])
def test_is_distributed_as_torchvisions_transforms(kind, size, scale):
    """Mean, spread and sharpness of each channel over many crops of one colour image, drawn independently."""
    count = 600
    image = make_images(1, 3)
    make = official(SMALL, size, scale, kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        theirs = torch.stack([make(pictures(image)[0]) for _ in range(count)])
    many = image.expand(count, -1, -1, -1)
    ours = (local_crops if kind == 2 else global_crops)(many, SMALL, seeded(6))[kind % 2]

    def statistics(crops):
        sharpness = (crops[..., 1:] - crops[..., :-1]).abs().mean((2, 3))
        return torch.cat([crops.mean((2, 3)), crops.std((2, 3)), sharpness], dim=1)  # one row for each crop

    a, b = statistics(ours), statistics(theirs)
    error = (a.var(0) / count + b.var(0) / count).sqrt()
    bias = 1.5 / 255 / 0.225  # Pillow cuts off where it blends
    assert ((a.mean(0) - b.mean(0)).abs() < 4 * error + bias).all()
    assert ((a.std(0) / b.std(0)).log().abs() < 0.2).all()


def test_grey_images_have_three_equal_channels():
    found = levels(torch.cat([global_crops(make_images(4), SMALL, seeded())]), SMALL)
    torch.testing.assert_close(found[:, :, 0], found[:, :, 1], rtol=0, atol=1e-3)
    torch.testing.assert_close(found[:, :, 0], found[:, :, 2], rtol=0, atol=1e-3)


def test_one_channel_and_three_equal_ones_give_the_same_crops():
    """Nearly: torchvision's weights of red, green and blue sum to 0.9999."""
    images = make_images(6)
    grey = levels(global_crops(images, SMALL, seeded(2)), SMALL)
    colour = levels(global_crops(images.expand(-1, 3, -1, -1), SMALL, seeded(2)), SMALL)
    torch.testing.assert_close(grey, colour, rtol=0, atol=0.1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_state_gives_the_same_crops_bit_for_bit(channels):
    images = make_images(5, channels)
    generator = seeded(3)
    global_crops(images, SMALL, generator)
    state = generator.get_state()
    expected = [global_crops(images, SMALL, generator), local_crops(images, SMALL, generator)]
    generator.set_state(state)
    found = [global_crops(images, SMALL, generator), local_crops(images, SMALL, generator)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(global_crops(images, SMALL, generator), expected[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_how_many_samples_are_worked_on_at_once_makes_no_difference(channels, monkeypatch):
    images = make_images(7, channels)
    expected = local_crops(images, SMALL, seeded(4))
    monkeypatch.setattr(module, "_CHUNK", 2 * SMALL.local_count * SMALL.local_size**2)
    torch.testing.assert_close(local_crops(images, SMALL, seeded(4)), expected, rtol=0, atol=1e-5)
    monkeypatch.setattr(module, "_CHUNK", 1)
    torch.testing.assert_close(local_crops(images, SMALL, seeded(4)), expected, rtol=0, atol=1e-5)


def test_two_processes_that_share_a_batch_make_the_crops_of_one():
    images = make_images(6, 3)
    chosen = draw_global(SMALL, 6, 80, 80, seeded(5))
    expected = make_crops(images, chosen, 48, SMALL)
    parts = [make_crops(images[part], chosen.samples(part), 48, SMALL) for part in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, rtol=0, atol=1e-5)


def test_nothing_random_leaves_a_resized_image():
    plain = replace(
        SMALL, global_scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0, jitter=0, grey=0, blur=(0, 0, 0), solarise=(0, 0, 0)
    )
    images = make_images(2, 3, size=48)
    found = levels(global_crops(images, plain, seeded()), plain)
    torch.testing.assert_close(found, images.float().expand(2, -1, -1, -1, -1), rtol=0, atol=1e-3)


def test_images_that_are_not_square():
    images = make_images(2, 1)[:, :, :50]
    assert global_crops(images, SMALL, seeded()).shape == (2, 2, 3, 48, 48)


def test_no_local_crops():
    assert local_crops(make_images(2), replace(SMALL, local_count=0), seeded()).shape == (0, 2, 3, 32, 32)


def test_needs_no_gradient_and_leaves_the_images_alone():
    images = make_images(2)
    kept = images.clone()
    assert not global_crops(images, SMALL, seeded()).requires_grad
    assert torch.equal(images, kept)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(2, 1, 8, 8), "float32 of shape (2, 1, 8, 8)"),
        (torch.zeros(2, 8, 8, dtype=torch.uint8), "uint8 of shape (2, 8, 8)"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), "uint8 of shape (2, 4, 8, 8)"),
    ],
)
def test_refuses_other_images(images, found):
    chosen = draw_global(SMALL, 2, 8, 8, seeded())
    for make in (
        lambda: global_crops(images, SMALL, seeded()),
        lambda: local_crops(images, SMALL, seeded()),
        lambda: make_crops(images, chosen, 8, SMALL),
    ):
        with pytest.raises(InputError, match="must be uint8") as caught:
            make()
        assert found in str(caught.value)


@pytest.mark.parametrize(("count", "size"), [(2, 80), (3, 60)])
def test_refuses_choices_made_for_other_images(count, size):
    chosen = draw_global(SMALL, 3, 80, 80, seeded())
    with pytest.raises(InputError, match=f"parameters are for 3 images .*, found {count} images of {size} × {size} px"):
        make_crops(make_images(count, size=size), chosen, 48, SMALL)
