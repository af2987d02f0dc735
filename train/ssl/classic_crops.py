"""Multi-crop augmentation as the official codes do it: image by image, on PIL images, with torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageFilter
from torch import Tensor

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require

from .crop_parameters import BRIGHTNESS, CONTRAST, HUE, NEUTRAL, SATURATION, CropParameters, draw_global, draw_local
from .crop_settings import CropSettings

if TYPE_CHECKING:
    from collections.abc import Callable


def classic_crops(image: Image.Image, settings: CropSettings, generator: torch.Generator) -> list[Tensor]:
    """The crops of one image: two global ones, then the local ones.

    Args:
        image: of mode ``L`` or ``RGB``. Grey images skip what changes colour only, which is exact: the same image in
            three equal channels gives the same crops.
        settings: the numbers of the augmentation.
        generator: on the CPU; decides everything that is random.

    Returns:
        2 + `settings.local_count` tensors (3, S, S), float32, normalised, S being the crop's size.

    Raises:
        InputError: where the image has another mode.
        MissingExtraError: where torchvision is not installed.
    """
    found = []
    for draw, size in ((draw_global, settings.global_size), (draw_local, settings.local_size)):
        parameters = draw(settings, 1, image.height, image.width, generator)
        for view in range(parameters.flips.shape[1]):
            found.append(classic_crop(image, parameters, view, size, settings))
    return found


def classic_crop(
    image: Image.Image, parameters: CropParameters, view: int, size: int, settings: CropSettings
) -> Tensor:
    """One crop as `parameters` describe it for their only sample.

    Args:
        image: of mode ``L`` or ``RGB``.
        parameters: for one sample.
        view: which of its views.
        size: side of the crop in pixels.
        settings: for the blur's kind, the threshold of solarisation, and normalisation.

    Returns:
        (3, size, size), float32, normalised.

    Raises:
        InputError: where the image has another mode.
        MissingExtraError: where torchvision is not installed.
    """
    require("train", "torchvision")
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as tv

    if image.mode not in ("L", "RGB"):
        raise InputError(f"an image to be cropped must be of mode L or RGB, found {image.mode}: convert it")
    top, left, height, width = parameters.boxes[0, view].tolist()
    image = tv.resized_crop(image, top, left, height, width, [size, size], InterpolationMode.BICUBIC)
    if parameters.flips[0, view]:
        image = tv.hflip(image)

    colour = image.mode == "RGB"
    factors = parameters.factors[0, view].tolist()
    steps: dict[int, Callable[[Image.Image, float], Image.Image]] = {
        BRIGHTNESS: tv.adjust_brightness,
        CONTRAST: tv.adjust_contrast,
        **({SATURATION: tv.adjust_saturation, HUE: tv.adjust_hue} if colour else {}),
    }
    for step in parameters.order[0, view].tolist():
        if step in steps and factors[step] != NEUTRAL[step]:
            image = steps[step](image, factors[step])
    if colour and parameters.greys[0, view]:
        image = tv.rgb_to_grayscale(image, num_output_channels=3)

    sigma = float(parameters.sigmas[0, view])
    if sigma > 0 and settings.blur_taps is None:
        image = image.filter(ImageFilter.GaussianBlur(sigma))
    elif sigma > 0:
        image = tv.gaussian_blur(image, [settings.blur_taps, settings.blur_taps], [sigma, sigma])
    if parameters.solarised[0, view]:
        image = tv.solarize(image, settings.solarise_threshold)
    pixels: Tensor = tv.to_tensor(image)
    normalised: Tensor = tv.normalize(pixels.expand(3, -1, -1), settings.mean, settings.std)
    return normalised
