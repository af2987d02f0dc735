"""Which images of a data set are shown, and these decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.inputs.item import Item


@dataclass(frozen=True)
class ShownImages:
    """Images to explain."""

    pixels: NDArray[np.uint8]
    """(N, C, S, S), C = 1 where all are grey, else 3."""
    names: tuple[str, ...]
    labels: tuple[str, ...]
    """Empty text where there is none."""
    masks: NDArray[np.bool_] | None = None
    """(N, S, S): what the images show, outlined by a person; None where there are no masks."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Images that could not be decoded, with the reason."""
    notices: dict[str, str] = field(default_factory=dict)
    """What had to be decided in decoding."""

    def __len__(self) -> int:
        return len(self.names)


def spread(labels: Sequence[str]) -> Iterator[int]:
    """All indices, those first that show most: the classes in turn, and each class from all over its list.

    The first n are the same whatever comes after them. Within a class the order is that of the reversed bits of the
    place: first, middle, quarter, three quarters, and so on.
    """
    members: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    queues = []
    for label in sorted(members):
        bits = (len(members[label]) - 1).bit_length()
        places = sorted(range(len(members[label])), key=lambda place, bits=bits: f"{place:0{bits}b}"[::-1])  # type: ignore[misc]
        queues.append([members[label][place] for place in places])
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue):
                yield queue[turn]


def chosen_images(items: Sequence[Item], labels: Sequence[str], size: int, count: int) -> ShownImages:
    """`count` of `items` (all where they are fewer), chosen by `spread` of their labels, in their own order.

    An image that cannot be read is named, and the next one taken. Of a file with several frames the first is taken. No
    others are decoded.

    Args:
        items: images, not decoded.
        labels: of each, empty text where there is none.
        size: side in pixels; they are resized as the model card does (bilinear, aspect ratio not kept).
        count: at least 1.

    Raises:
        InputError: where the count is below 1, or none can be read.
    """
    if count < 1:
        raise InputError(f"the count of images to show must be at least 1, not {count}")
    found: dict[int, tuple[str, Image.Image]] = {}
    unreadable: dict[str, str] = {}
    notices: dict[str, str] = {}
    for index in spread(labels):
        item = items[index]
        try:
            frame = next(iter(decode(item.load())))
        except UnreadableImageError as error:
            unreadable[item.name] = error.reason
            continue
        name = item.name if frame.number is None else f"{item.name}#{frame.number}"
        if frame.notice:
            notices[name] = frame.notice
        found[index] = (name, frame.image.resize((size, size), Image.Resampling.BILINEAR))
        if len(found) == count:
            break
    if not found:
        reason = next(iter(unreadable.values()), "no images")
        raise InputError(f"none of the {len(items)} images can be read: {reason}")
    order = sorted(found)
    grey = all(found[index][1].mode == "L" for index in order)
    arrays = [np.asarray(found[index][1] if grey else found[index][1].convert("RGB")) for index in order]
    pixels = np.stack([array[None] if grey else array.transpose(2, 0, 1) for array in arrays])
    return ShownImages(
        pixels,
        tuple(found[index][0] for index in order),
        tuple(labels[index] for index in order),
        unreadable=unreadable,
        notices=notices,
    )
