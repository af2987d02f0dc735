"""Some of the images a user names, as files of their own in one folder, so that every contestant reads the same."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePath

from PIL import Image, UnidentifiedImageError

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs


def gather_images(inputs: Sequence[str], count: int, folder: Path) -> list[Path]:
    """Write `count` of the images behind `inputs` to `folder`, taken evenly: files as they are, arrays as PNG.

    Args:
        inputs: as `radiodino.runtime.inputs.listing.list_inputs` takes them.
        count: at least 1; all where there are fewer.
        folder: is there, and empty.

    Returns:
        The files, at most `count`.

    Raises:
        InputError: an input is missing, or an image is none that Pillow opens, as DINO's data path does.
        UnreadableImageError: a member of an archive or an image set is damaged.
    """
    if count < 1:
        raise InputError(f"at least 1 image is needed, not {count}: raise --images")
    items = list_inputs(inputs).items
    files = []
    for number in range(min(count, len(items))):
        item = items[number * len(items) // min(count, len(items))]
        content = item.load()
        inside = isinstance(content, Path | BytesIO)
        file = folder / f"{number:06d}{PurePath(item.name).suffix.lower() if inside else '.png'}"
        if isinstance(content, Path):
            shutil.copyfile(content, file)
        elif isinstance(content, BytesIO):
            file.write_bytes(content.getvalue())
        else:
            Image.fromarray(content).save(file)
        try:
            Image.open(file).close()
        except UnidentifiedImageError:
            raise InputError(
                f"{item.name} is no image that Pillow opens, as the official data path does: leave it out"
            ) from None
        files.append(file)
    return files
