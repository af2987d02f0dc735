"""Any PIL image or array as 8-bit PIL images of mode L or RGB.

Radio DINO's model card opens an image with ``Image.open(path).convert("RGB")``. What comes out here converts to the
very same RGB image, with one exception: 16-bit grey, which PIL would clip to white, is scaled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import InputError, UnreadableImageError

MAX_PIXELS = 2**26
"""The most pixels (width × height) of an image that is decoded, against decompression bombs.

A mammogram has 2**25, and PIL warns of more than 89 million: what is accepted here stays below, so that it does not.
"""

FAINT = "its 16-bit values fill less than a sixteenth of the range 0 to 65535, so the 8-bit image is almost black"
"""The notice of a 16-bit image whose values are probably of 12 bits or fewer."""

_GREY_MODES = ("1", "L", "LA")


def refuse_size(width: int, height: int) -> None:
    """Refuse an image that has no pixels, or more than `MAX_PIXELS`.

    Raises:
        UnreadableImageError: where it does.
    """
    if width < 1 or height < 1:
        raise UnreadableImageError(f"it has no pixels ({width} × {height})")
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{width} × {height} pixels are more than the {MAX_PIXELS} that are decoded: crop or shrink the image first"
        )


def to_8bit(image: Image.Image, *, share: bool = False) -> Image.Image:
    """A new 8-bit image of mode ``L`` or ``RGB`` with the pixels of `image` and none of its metadata.

    For every mode but the 16-bit ones, ``to_8bit(image).convert("RGB")`` equals ``image.convert("RGB")`` bit by bit.
    So, as on Radio DINO's model card, alpha is dropped (not blended), EXIF orientation is not applied, and colour
    profiles are ignored. The result is ``L`` for the modes 1, L, LA and for 16-bit grey.

    16-bit grey (modes I;16, I;16B, I;16L, I;16N, and I with values from 0 to 65535) maps the full range linearly,
    ``round(value / 257)``; it is never stretched by the image's own extremes. PIL itself decodes 16-bit colour to its
    8 high bits.

    Args:
        image: of any mode and size.
        share: whether the result may share the memory of `image`, which nobody changes any more.

    Raises:
        UnreadableImageError: where the values have no defined range (mode F, or mode I outside 0 to 65535), or PIL
            knows no conversion of the mode to RGB.
    """
    refuse_size(*image.size)
    if image.mode.startswith("I"):
        return _plain(Image.fromarray(scale_to_8bit(_sixteen_bit(image), 65535)))
    if image.mode == "F":
        raise UnreadableImageError("floating-point grey values have no defined range: save it as 8 or 16 bits first")
    # Pillow says in no other way that an image shall share the pixels of another.
    bare = image._new(image.im) if share else image.copy()
    bare = _plain(bare)  # without a transparency entry, which only makes PIL warn
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    try:
        return bare if bare.mode == mode else _plain(bare.convert(mode))
    except ValueError:
        raise UnreadableImageError(f"PIL cannot convert mode {image.mode} to RGB: save it as 8-bit RGB first") from None


def is_faint(image: Image.Image) -> bool:
    """Whether `image` is 16-bit grey that is not all 0 and has no value of 4096 or more (see `FAINT`)."""
    return image.mode.startswith("I") and 0 < int(np.asarray(image).max()) < 4096


def array_images(array: NDArray[Any]) -> list[Image.Image]:
    """The image or images in `array` as 8-bit PIL images.

    Args:
        array: uint8 (as it is) or uint16 (the full range maps linearly, ``round(value / 257)``), of shape

            - (H, W) or (H, W, 1): one grey image;
            - (H, W, 3): one RGB image;
            - (n, H, W) where W is none of 1 to 4 and n neither 1 nor 3, or (n, H, W, 1): n grey images;
            - (n, H, W, 3): n RGB images.

    Returns:
        New images of mode ``L`` or ``RGB``; they share no memory with `array`.

    Raises:
        InputError: where the type or shape is another, or the array is empty.
        UnreadableImageError: where an image has more than `MAX_PIXELS`.
    """
    if array.dtype.kind == "f":
        raise InputError(
            f"an array of {array.dtype} has no defined grey range: pass uint8 or uint16 images here, or a normalised "
            "float32 batch to Model.run"
        )
    if array.dtype.kind != "u" or array.dtype.itemsize > 2:
        raise InputError(f"expected an array of uint8 or uint16, but found {array.dtype}: convert it first")
    if array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise InputError(
            f"expected an array of shape (H, W), (H, W, 1), (H, W, 3), (n, H, W), (n, H, W, 1) or (n, H, W, 3), "
            f"but found {array.shape}"
        )
    if array.ndim == 3 and array.shape[2] in (2, 4):
        raise InputError(
            f"an array of shape {array.shape} seems to hold an alpha channel, which the network does not take: "
            "drop it, for example array[..., :3]"
        )
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        raise InputError(
            f"an array of shape {array.shape} may be a channel-first image or {array.shape[0]} grey ones: pass "
            "(H, W, 3), or a list of (H, W) arrays"
        )
    if array.size == 0:
        raise InputError(f"an array of shape {array.shape} is empty: pass at least one pixel")
    is_single = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))
    stack = array[np.newaxis] if is_single else array
    refuse_size(stack.shape[2], stack.shape[1])
    if stack.ndim == 4 and stack.shape[3] == 1:
        stack = stack[..., 0]
    return [Image.fromarray(scale_to_8bit(item, 65535) if item.dtype.itemsize == 2 else item.copy()) for item in stack]


def scale_to_8bit(values: NDArray[Any], maximum: int) -> NDArray[np.uint8]:
    """Whole numbers from 0 to `maximum` as ``round(value * 255 / maximum)``.

    Args:
        values: whole numbers of any type and shape, each from 0 to `maximum`.
        maximum: an odd number of at least 1 (2**bits − 1), so that no value lies halfway between two results.

    Returns:
        uint8, of the shape of `values`.
    """
    wide: NDArray[Any] = values.astype(np.uint32 if maximum <= 65535 else np.uint64)
    np.multiply(wide, 255, out=wide)
    np.add(wide, maximum // 2, out=wide)
    np.floor_divide(wide, maximum, out=wide)
    return wide.astype(np.uint8)


def _sixteen_bit(image: Image.Image) -> NDArray[Any]:
    values = np.asarray(image)
    if image.mode == "I" and (int(values.min()) < 0 or int(values.max()) > 65535):
        raise UnreadableImageError(
            "32-bit grey values outside 0 to 65535 have no defined range: save it as 8 or 16 bits first"
        )
    return values


def _plain(image: Image.Image) -> Image.Image:
    image.info = {}  # text chunks and the like may name the patient
    return image
