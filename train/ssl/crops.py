"""Multi-crop augmentation of a batch on its device: the classic path's distribution without a loop over samples.

The order is the official one: random resized crop, flip, colour jitter, loss of colour, blur, solarisation,
normalisation. `classic_crops` does the same on PIL images, one by one, with 8 bits between the steps; given the same
`CropParameters`, both make the same crops to about one level of 255.
"""

from __future__ import annotations

import torch
from torch import Tensor

from radiodino.runtime.errors import InputError

from .blur import blur
from .colour import jitter_, luma, solarise
from .crop_parameters import CropParameters, draw_global, draw_local
from .crop_settings import CropSettings
from .resample import resample
from .transfer import to_device

_CHUNK = 1 << 20  # values per channel that are worked on at once on a CPU, so that they stay in its caches


def global_crops(images: Tensor, settings: CropSettings, generator: torch.Generator) -> Tensor:
    """The two global crops of each image.

    Args:
        images: (B, C, H, W), uint8, C = 1 (grey) or 3 (RGB), on any device.
        settings: the numbers of the augmentation.
        generator: decides everything that is random, in one draw for the batch; its state makes a run resumable. On
            the CPU it makes the same choices whatever the device of the images, and nothing waits for that device.

    Returns:
        (2, B, 3, S, S), float32, normalised, on the device of the images, where S is `settings.global_size`.

    Raises:
        InputError: where the images have another type or shape.
    """
    height, width = _check(images)
    parameters = draw_global(settings, len(images), height, width, generator)
    return make_crops(images, parameters, settings.global_size, settings)


def local_crops(images: Tensor, settings: CropSettings, generator: torch.Generator) -> Tensor:
    """The local crops of each image, (V, B, 3, S, S) with V = `settings.local_count`, S = `settings.local_size`.

    See `global_crops`.
    """
    height, width = _check(images)
    parameters = draw_local(settings, len(images), height, width, generator)
    return make_crops(images, parameters, settings.local_size, settings)


@torch.no_grad()
def make_crops(images: Tensor, parameters: CropParameters, size: int, settings: CropSettings) -> Tensor:
    """The crops that `parameters` describe, V of each of B images.

    Args:
        images: (B, C, H, W), uint8, C = 1 or 3.
        parameters: for B samples and V views, drawn for images of this height and width; best left on the CPU.
        size: side of the crops in pixels.
        settings: for the blur's kind, the threshold of solarisation, and normalisation; the rest is in `parameters`.

    Returns:
        (V, B, 3, size, size), float32, normalised; grey images have three equal channels before normalisation.

    Raises:
        InputError: where the images have another type or shape than said, or than `parameters` were drawn for.
    """
    height, width = _check(images)
    batch, views = parameters.flips.shape
    ends = parameters.boxes[..., :2] + parameters.boxes[..., 2:]
    if len(images) != batch or (ends > ends.new_tensor([height, width])).any():
        raise InputError(
            f"the crops' parameters are for {batch} images that hold all their boxes, found {len(images)} images of "
            f"{height} × {width} px: draw them for these"
        )
    crops = torch.empty(views, batch, 3, size, size, device=images.device)
    chunk = max(1, _CHUNK // max(1, views * size * size)) if images.device.type == "cpu" else batch
    for start in range(0, batch if views else 0, chunk):
        part = slice(start, start + chunk)
        _fill(crops[:, part], images[part], parameters.samples(part), settings)
    return crops


def _fill(out: Tensor, images: Tensor, parameters: CropParameters, settings: CropSettings) -> None:
    """Make the crops of some images in `out`, (V, B, 3, S, S)."""
    size, device = out.shape[-1], out.device
    # Which crops a step concerns is found where the parameters were drawn: on the CPU this does not wait for a device.
    longest = int(parameters.boxes[..., 2:].amax())
    boxes, flips = (to_device(x, device) for x in (parameters.boxes, parameters.flips))
    crops = resample(images, boxes, flips, size, longest).clamp(0, 1).contiguous()
    jitter_(crops, parameters.factors.flatten(0, 1), parameters.order.flatten(0, 1))
    if images.shape[1] == 3:
        those = _those(parameters.greys, device)
        crops[those] = luma(crops[those]).expand(-1, 3, -1, -1)
    those = _those(parameters.sigmas > 0, device)
    sigmas = to_device(parameters.sigmas[parameters.sigmas > 0], device)
    crops[those] = blur(crops[those], sigmas, settings.blur_taps, settings.blur_sigma[1])
    those = _those(parameters.solarised, device)
    crops[those] = solarise(crops[those], settings.solarise_threshold / 255)

    crops = crops.reshape(*flips.shape, *crops.shape[1:]).transpose(0, 1)
    for channel, (mean, std) in enumerate(zip(settings.mean, settings.std, strict=True)):
        source = crops[:, :, channel % images.shape[1]]
        torch.add(source.new_full((), -mean / std), source, alpha=1 / std, out=out[:, :, channel])


def _those(chosen: Tensor, device: torch.device) -> Tensor:
    return to_device(chosen.flatten().nonzero().squeeze(1), device)


def _check(images: Tensor) -> tuple[int, int]:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            "images to be cropped must be uint8 of shape (B, C, H, W) with 1 or 3 channels, found "
            f"{str(images.dtype).removeprefix('torch.')} of shape {tuple(images.shape)}: convert them"
        )
    return images.shape[2], images.shape[3]
