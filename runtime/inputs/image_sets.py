"""Image sets in one ``.npz`` file, in the layout of MedMNIST: arrays of images, arrays of labels beside them.

A set may be larger than the memory: it is read front to back, in blocks.
"""

from __future__ import annotations

import math
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnreadableImageError
from .archive import ARCHIVE_ERRORS, open_archive, said
from .item import Item, printable

BLOCK_BYTES = 16 << 20
"""How much of an image set is read at once; two such blocks are in memory."""
SET_IMAGE_LIMIT = 32 << 20
"""Bytes of one image of an image set."""


def list_image_set(path: str, blocks: Blocks) -> Iterator[Item]:
    """The images of the set `path` with their labels; the checksums are verified.

    Args:
        path: an ``.npz`` file of arrays ``images`` or ``…_images`` of uint8 or uint16, (n, H, W), (n, H, W, 1) or
            (n, H, W, 3), with ``labels`` or ``…_labels`` of numbers or text beside them.
        blocks: what reads the images, one for all sets of a run.

    Raises:
        InputError: it is damaged, or no image set.
    """
    with open_archive(path, ".npz file", "copy or save") as archive:
        names = dict.fromkeys(archive.namelist())
        keys = [name[:-4] for name in names if re.fullmatch(r"(.*_)?images\.npy", name)]
        arrays = [_read_description(archive, path, key, blocks) for key in keys]
    if not arrays:
        raise InputError(f"{path} holds no image set: expected arrays train_images, val_images, test_images or images")
    for images, labels in arrays:
        for index, label in enumerate(labels):
            yield Item(printable(f"{path}/{images.key}/{index}"), printable(label), SetImage(images, index))


@dataclass(frozen=True)
class ImageArray:
    """One array of images in an ``.npz`` file: uint8 or uint16, (n, H, W), (n, H, W, 1) or (n, H, W, 3)."""

    file: str
    key: str
    shape: tuple[int, ...]
    dtype: str
    blocks: Blocks = field(compare=False, repr=False)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Of one image: (H, W) or (H, W, 3)."""
        return self.shape[1:3] if self.shape[3:] == (1,) else self.shape[1:]

    @property
    def image_bytes(self) -> int:
        """Of one image."""
        return math.prod(self.image_shape) * np.dtype(self.dtype).itemsize

    @property
    def per_block(self) -> int:
        """Images that are read at once; never so few that threads working side by side need more than two blocks."""
        return max(32, BLOCK_BYTES // self.image_bytes)


@dataclass(frozen=True, slots=True)
class SetImage:
    """One image of an image set."""

    images: ImageArray
    index: int

    @property
    def file(self) -> str:
        """The ``.npz`` file."""
        return self.images.file

    def load(self) -> NDArray[Any]:
        """The image: uint8 or uint16, (H, W) or (H, W, 3).

        Raises:
            UnreadableImageError: the array is damaged, or the file changed or is gone.
        """
        return self.images.blocks.image(self.images, self.index)


class Blocks:
    """Reads image sets front to back in blocks, for all threads: little memory for a set of any size."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[ImageArray, int], NDArray[Any]] = OrderedDict()
        self._reader: tuple[ImageArray, Iterator[NDArray[Any]]] | None = None
        self._next = 0  # the block that the reader yields next

    def image(self, images: ImageArray, index: int) -> NDArray[Any]:
        """The image `index` of `images`, read with its block; a copy.

        Raises:
            UnreadableImageError: the array is damaged, or the file changed or is gone.
        """
        number, offset = divmod(index, images.per_block)
        with self._lock:
            while (images, number) not in self._blocks:
                self._read_next(images, number)
            image: NDArray[Any] = self._blocks[images, number][offset].copy()
            return image

    def _read_next(self, images: ImageArray, wanted: int) -> None:
        if self._reader is None or self._reader[0] != images or self._next > wanted:
            self._reader, self._next = (images, _read_blocks(images)), 0
        while len(self._blocks) > 1:
            self._blocks.popitem(last=False)
        try:
            self._blocks[images, self._next] = next(self._reader[1])
        except (*ARCHIVE_ERRORS, StopIteration) as error:
            self._reader = None
            raise UnreadableImageError(f"the image set changed or is gone ({said(error)})") from error
        self._next += 1


def _read_blocks(images: ImageArray) -> Iterator[NDArray[Any]]:
    with zipfile.ZipFile(images.file) as archive, archive.open(f"{images.key}.npy") as stream:
        _read_header(stream)
        for first in range(0, images.shape[0], images.per_block):
            count = min(images.per_block, images.shape[0] - first)
            data = stream.read(count * images.image_bytes)
            yield np.frombuffer(data, images.dtype).reshape(count, *images.image_shape)


def _read_description(archive: zipfile.ZipFile, path: str, key: str, blocks: Blocks) -> tuple[ImageArray, list[str]]:
    """The array `key` without its pixels, and a label for each of its images."""
    with archive.open(f"{key}.npy") as stream:
        shape, is_fortran, dtype = _read_header(stream)
        length = sum(map(len, iter(partial(stream.read, 1 << 20), b"")))  # to the end, where the checksum is verified
    has_images = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if dtype.kind != "u" or dtype.itemsize > 2 or not has_images or 0 in shape:
        raise InputError(
            f"the array {key} in {path} holds {dtype} values {shape}: expected uint8 or uint16 values, (n, H, W) or "
            "(n, H, W, 3), none of these 0"
        )
    if is_fortran:
        raise InputError(f"the array {key} in {path} is in Fortran order: save it again with numpy.ascontiguousarray")
    images = ImageArray(path, key, shape, dtype.str, blocks)
    if images.image_bytes > SET_IMAGE_LIMIT:
        raise InputError(f"one image of {key} in {path} takes more than {SET_IMAGE_LIMIT >> 20} MiB: save it as a file")
    if length != shape[0] * images.image_bytes:
        raise InputError(f"the array {key} in {path} does not hold the {shape} values it promises: save it again")
    return images, _read_labels(archive, path, f"{key.removesuffix('images')}labels", shape[0])


def _read_labels(archive: zipfile.ZipFile, path: str, key: str, count: int) -> list[str]:
    """One text for each image: the label, or the several of a multi-label set separated by spaces."""
    if f"{key}.npy" not in archive.namelist():
        return [""] * count
    with archive.open(f"{key}.npy") as stream:
        shape, _, dtype = _read_header(stream)
    if dtype.kind not in "biufUS":
        raise InputError(f"the array {key} in {path} holds {dtype} values: save the labels as numbers or text")
    if shape[:1] != (count,) or math.prod(shape[1:]) * dtype.itemsize > 4096:
        raise InputError(
            f"the array {key} in {path} has the shape {shape}: expected one label for each of {count} images"
        )
    with archive.open(f"{key}.npy") as stream:
        values = np.lib.format.read_array(stream, allow_pickle=False)
    rows = values.reshape(count, -1).tolist()
    return [
        " ".join(v.decode("utf-8", "backslashreplace") if isinstance(v, bytes) else str(v) for v in row) for row in rows
    ]


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)
