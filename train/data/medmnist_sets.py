"""MedMNIST's data sets by name, ``medmnist:NAME[:SIZE]``, from the files of the ``medmnist`` package."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from radiodino.runtime.atomic import atomic_path
from radiodino.runtime.errors import InputError, OutputError
from radiodino.runtime.inputs.folders import tidy
from radiodino.runtime.inputs.item import Item, printable
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.runtime.install_command import install_command

from ..weights.wording import one_line
from .data_image import DataImage, below, own_split

PREFIX = "medmnist:"
ROOT_VARIABLE = "RADIODINO_MEDMNIST"
SIZES = (28, 64, 128, 224)

TABLE_1 = {
    "pneumoniamnist": (4708, 524, 624),
    "breastmnist": (546, 78, 156),
    "organamnist": (34561, 6491, 17778),
    "organcmnist": (12975, 2392, 8216),
    "organsmnist": (13932, 2452, 8827),
}
"""Training, validation and test images of the official splits (paper, table 1)."""

_SECONDS = 30.0  # of silence during a download


def medmnist_root() -> Path:
    """The folder of MedMNIST's files: ``RADIODINO_MEDMNIST``, else ``~/.medmnist`` as in the ``medmnist`` package."""
    named = os.environ.get(ROOT_VARIABLE)
    return Path(named or "~/.medmnist").expanduser()


def medmnist_images(typed: str, progress: Callable[[int, int], None]) -> list[DataImage]:
    """The images of ``medmnist:NAME[:SIZE]`` with the data set's own split; SIZE is 28, 64, 128 or 224, by default 28.

    The file ``NAME.npz`` or ``NAME_SIZE.npz`` is taken from `medmnist_root`; where it is not there, it is fetched
    from the address and compared with the MD5 that the ``medmnist`` package states. A set in `TABLE_1` must have the
    numbers of images that stand there.

    Args:
        typed: as above.
        progress: is told (done, total) in MiB while it is fetched.

    Raises:
        InputError: no such form, set or size; the file is neither there nor to be had, damaged, or holds other numbers.
        OutputError: what was fetched cannot be stored.
    """
    match = re.fullmatch(r"medmnist:([a-z0-9]+)(?::([0-9]+))?", typed)
    size = int(match[2] or 28) if match else 0
    if match is None or size not in SIZES:
        raise InputError(
            f"'{typed}' names no MedMNIST set: expected medmnist:NAME or medmnist:NAME:SIZE with a SIZE of "
            f"{', '.join(map(str, SIZES))}, as medmnist:pneumoniamnist:224"
        )
    name = match[1]
    suffix = "" if size == 28 else f"_{size}"
    file = medmnist_root() / f"{name}{suffix}.npz"
    if not file.is_file():
        _fetch(name, suffix, file, progress)
    items = list(list_inputs([str(file)]))
    _check_counts(name, file, items)
    root = printable(tidy(str(file)))
    return [
        DataImage(item, item.label, root, f"{file.name}/{below(root, item.name)}", own_split(item)) for item in items
    ]


def _check_counts(name: str, file: Path, items: list[Item]) -> None:
    splits = Counter(own_split(item) for item in items)
    found = tuple(splits[split] for split in ("train", "val", "test"))
    expected = TABLE_1.get(name, found)
    if found != expected or splits[""]:
        raise InputError(
            f"{file} holds {_numbers(found)} training/validation/test images, expected {_numbers(expected)} of "
            f"{name} (paper, table 1): fetch the file again, or name a part of the set by its "
            "path, which is not checked"
        )


def _numbers(counts: tuple[int, ...]) -> str:
    return "/".join(map(str, counts))


def _fetch(name: str, suffix: str, file: Path, progress: Callable[[int, int], None]) -> None:
    cure = f"place the file {file.name} in {file.parent}, or name the folder that holds it by {ROOT_VARIABLE}"
    if find_spec("medmnist") is None:
        raise InputError(
            f"there is no file {file}, and the medmnist package, which says where to fetch it, is not installed: "
            f"{cure}, or run  {install_command('medmnist')}"
        )
    from medmnist.info import INFO

    if name not in INFO:
        raise InputError(f"there is no MedMNIST set '{name}': choose one of {', '.join(sorted(INFO))}")
    address, checksum = INFO[name].get(f"url{suffix}"), INFO[name].get(f"MD5{suffix}")
    if not address or not checksum:
        raise InputError(f"{name} is not published at {suffix.lstrip('_')} pixels: choose another size")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {file.parent} ({error.strerror or error}): {cure}") from None
    with atomic_path(file, overwrite=False) as temporary:
        try:
            arrived = _download(address, temporary, progress)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"cannot fetch {file.name} from {address} ({one_line(str(error))}): {cure}") from error
        if arrived != checksum:
            raise InputError(f"{address} gave a file with the MD5 {arrived}, expected {checksum}: try again, or {cure}")


def _download(address: str, file: Path, progress: Callable[[int, int], None]) -> str:
    """Fetch `address` into `file`; its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(address, timeout=_SECONDS) as answer, file.open("wb") as stream:  # noqa: S310 (of the package)
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while chunk := answer.read(1 << 20):
            stream.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(done >> 20, total >> 20)
    return digest.hexdigest()
