from __future__ import annotations

from dataclasses import replace

import pytest

from radiodino.runtime.errors import InputError
from radiodino.train.ssl.crop_settings import DINO_CROPS, DINOV2_CROPS, CropSettings


def test_the_defaults_are_those_of_dino():
    s = CropSettings()
    assert s == DINO_CROPS
    assert (s.global_size, s.local_size, s.local_count) == (224, 96, 8)
    assert (s.global_scale, s.local_scale) == ((0.4, 1.0), (0.05, 0.4))
    assert s.ratio == pytest.approx((0.75, 4 / 3))
    assert (s.flip, s.jitter, s.grey) == (0.5, 0.8, 0.2)
    assert (s.brightness, s.contrast, s.saturation, s.hue) == (0.4, 0.4, 0.2, 0.1)
    assert (s.blur, s.blur_sigma, s.blur_taps) == ((1.0, 0.1, 0.5), (0.1, 2.0), None)
    assert (s.solarise, s.solarise_threshold) == ((0.0, 0.2, 0.0), 128)
    assert s.mean == (0.485, 0.456, 0.406)
    assert s.std == (0.229, 0.224, 0.225)


def test_dinov2_differs_in_its_scales_its_local_size_and_its_blur():
    changed = replace(DINO_CROPS, global_scale=(0.32, 1.0), local_scale=(0.05, 0.32), local_size=98, blur_taps=9)
    assert changed == DINOV2_CROPS


@pytest.mark.parametrize(("settings", "patch"), [(DINO_CROPS, 16), (DINO_CROPS, 8), (DINOV2_CROPS, 14)])
def test_the_presets_fit_the_patches_of_the_family(settings, patch):
    settings.check_patch(patch)


@pytest.mark.parametrize(
    ("settings", "patch", "said"),
    [
        (DINO_CROPS, 14, "local_size 96 is not a multiple of the patch (14 px): use 84 or 98"),
        (DINOV2_CROPS, 16, "local_size 98 is not a multiple of the patch (16 px): use 96 or 112"),
        (CropSettings(global_size=100), 16, "global_size 100 is not a multiple of the patch (16 px): use 96 or 112"),
        (CropSettings(local_size=5), 16, "local_size 5 is not a multiple of the patch (16 px): use 16"),
    ],
)
def test_refuses_crops_that_are_no_whole_patches(settings, patch, said):
    with pytest.raises(InputError) as caught:
        settings.check_patch(patch)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "wrong",
    [
        {"flip": 1.1},
        {"jitter": -0.1},
        {"grey": float("nan")},
        {"blur": (1.0, 2.0, 0.5)},
        {"solarise": (0.0, 0.2, -0.1)},
        {"brightness": 1.5},
        {"contrast": -0.1},
        {"saturation": 2.0},
        {"hue": 0.6},
        {"solarise_threshold": 300},
        {"local_count": -1},
        {"global_size": 0},
        {"local_size": 0},
        {"global_scale": (0.0, 1.0)},
        {"global_scale": (0.5, 0.4)},
        {"local_scale": (0.5, 1.1)},
        {"ratio": (2.0, 1.0)},
        {"blur_sigma": (0.0, 2.0)},
        {"blur_sigma": (0.1, 200.0)},
        {"std": (0.2, 0.0, 0.2)},
        {"blur_taps": 8},
        {"blur_taps": 0},
        {"blur_taps": 193},
    ],
)
def test_refuses_what_is_out_of_range(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name} must be .*, found .*: (change|use)"):
        CropSettings(**wrong)


@pytest.mark.parametrize("right", [{"local_count": 0}, {"blur_taps": 191}, {"solarise_threshold": 256}, {"hue": 0.5}])
def test_the_ends_of_the_ranges_are_allowed(right):
    CropSettings(**right)
