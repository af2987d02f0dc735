"""A folder of images as they come together on a workstation: JPEG, PNG and DICOM, small and large, 8 and 16 bits.

They are made of the real images in the archives of a folder, or of synthetic ones where there is none.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from radiodino.runtime.errors import InputError


@dataclass(frozen=True)
class Kind:
    """One kind of file in the mixture."""

    name: str
    share: int
    """Of 20 files."""
    suffix: str
    encode: Callable[[Image.Image], bytes] | None
    """From a grey image to the bytes of a file; None keeps the file of the data set as it is."""


def large_jpeg(image: Image.Image) -> bytes:
    """A grey JPEG of 1024 × 1024."""
    return _saved(_sized(image, 1024), "JPEG", quality=90)


def _colour_jpeg(image: Image.Image) -> bytes:
    return _saved(_sized(image, 640).convert("RGB"), "JPEG", quality=90)


def png(image: Image.Image) -> bytes:
    """A grey PNG of 512 × 512."""
    return _saved(_sized(image, 512), "PNG")


def _deep_png(image: Image.Image) -> bytes:
    return _saved(Image.fromarray(np.asarray(_sized(image, 512)).astype(np.uint16) * 257), "PNG")


def windowed_dicom(image: Image.Image) -> bytes:
    """A DICOM file of 512 × 512, uncompressed, 12 of 16 bits, with a window, as CT and MR come."""
    return _dicom(_sized(image, 512), bits=12, window=(2048, 4096))


def _jpeg_dicom(image: Image.Image) -> bytes:
    """JPEG within DICOM, as ultrasound comes."""
    return _dicom(_sized(image, 640), bits=8, window=None)


KINDS = (
    Kind("as in the data set", 9, ".jpg", None),
    Kind("1024² grey JPEG", 2, ".jpg", large_jpeg),
    Kind("640² colour JPEG", 2, ".jpg", _colour_jpeg),
    Kind("512² grey PNG", 3, ".png", png),
    Kind("512² 16-bit PNG", 1, ".png", _deep_png),
    Kind("512² DICOM, 12 bits, with a window", 2, ".dcm", windowed_dicom),
    Kind("640² DICOM, JPEG", 1, ".dcm", _jpeg_dicom),
)
"""The mixture, 20 files in turn."""


def write_mixed_images(folder: Path, count: int, data: Path | None) -> str:
    """Write `count` images of `KINDS` to `folder`, the kinds in turn.

    Args:
        folder: is there, and empty.
        count: at least 1.
        data: a folder with zip archives of JPEG images; None makes synthetic ones.

    Returns:
        What they were made of, as a phrase.

    Raises:
        InputError: there is no such archive in `data`.
    """
    turn = [kind for place in range(max(kind.share for kind in KINDS)) for kind in KINDS if place < kind.share]
    for number, (kind, original) in enumerate(zip(islice(cycle(turn), count), sources(count, data), strict=True)):
        if kind.encode is None:
            content = original
        else:
            with Image.open(BytesIO(original)) as image:
                content = kind.encode(image.convert("L"))
        (folder / f"{number:05d}{kind.suffix}").write_bytes(content)
    return f"real images ({', '.join(path.name for path in _archives(data))})" if data else "synthetic images"


def sources(count: int, data: Path | None) -> Iterator[bytes]:
    """`count` JPEG files: of the archives in `data`, or synthetic where that is None.

    Raises:
        InputError: there is no such archive in `data`.
    """
    return _real(data, count) if data else _synthetic(count)


def _archives(data: Path) -> list[Path]:
    found = sorted(data.glob("*.zip"))
    if not found:
        raise InputError(f"there is no zip archive of images in {data}: name another folder with --data")
    return found


def _real(data: Path, count: int) -> Iterator[bytes]:
    """JPEG files, evenly from each archive, the archives in turn; again from the front where there are too few."""
    archives = _archives(data)
    share = -(-count // len(archives))
    each = []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            members = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
            if not members:
                raise InputError(f"there is no JPEG image in {path}: name another folder with --data")
            each.append(cycle([archive.read(name) for name in members[:: max(1, len(members) // share)][:share]]))
    return islice((next(contents) for contents in cycle(each)), count)


def _synthetic(count: int) -> Iterator[bytes]:
    """JPEG files of smooth noise with grain, 224 to 640 pixels a side."""
    random = np.random.default_rng(0)
    for _ in range(count):
        width, height = (int(size) for size in random.integers(224, 641, 2))
        smooth = Image.fromarray(random.integers(0, 256, (24, 24), np.uint8)).resize((width, height))
        grain = random.integers(-8, 9, (height, width))
        yield _saved(Image.fromarray(np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)), "JPEG", quality=90)


def _sized(image: Image.Image, side: int) -> Image.Image:
    return image.resize((side, side), Image.Resampling.BICUBIC)


def _saved(image: Image.Image, image_format: str, **options: int) -> bytes:
    stream = BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def _dicom(image: Image.Image, *, bits: int, window: tuple[int, int] | None) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=["radiodino benchmark"])
    dataset.Modality = "OT"
    dataset.Rows, dataset.Columns = image.height, image.width
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (16 if bits > 8 else 8), bits, bits - 1
    dataset.PixelRepresentation = 0
    if window:
        dataset.WindowCenter, dataset.WindowWidth = window
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    if bits > 8:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        values = np.asarray(image).astype(np.uint16) << (bits - 8)
        dataset.PixelData = (values | (values >> 8)).tobytes()
    else:
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        dataset.PixelData = encapsulate([_saved(image, "JPEG", quality=90)])
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
