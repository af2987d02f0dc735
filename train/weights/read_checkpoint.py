"""A local checkpoint file: found, and read without running any code in it."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

from radiodino.runtime.errors import WeightsError
from radiodino.runtime.extras import require

from .wording import one_line, some_of

_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file that `path` names: itself, or the only one in the folder.

    Raises:
        WeightsError: where nothing is there, or the folder holds no checkpoint or several.
    """
    try:
        if not path.exists():
            raise WeightsError(
                f"there is no file or folder {path}: give published, demo, random, or the path of a checkpoint"
            )
        if not path.is_dir():
            return path
        found = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
    except (OSError, ValueError) as error:  # a name that is too long, or no name at all, among others
        raise WeightsError(
            f"cannot look up {str(path)!r}: {one_line(str(error))}; give the path of a checkpoint"
        ) from error
    if len(found) == 1:
        return found[0]
    if not found:
        raise WeightsError(f"the folder {path} holds no checkpoint ({', '.join('*' + s for s in _SUFFIXES)}): name one")
    raise WeightsError(
        f"the folder {path} holds {len(found)} checkpoints ({some_of([file.name for file in found])}), expected one: "
        "name the file"
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, read without running any code in it; tensors arrive on the CPU.

    The content decides how it is read, not the suffix. Of the classes that a pickle may name beside PyTorch's own,
    `argparse.Namespace` alone is built (DINO saves its arguments as one) and numpy's scalars (its learning rates) are
    skipped; any other is refused.

    Args:
        path: a safetensors file, a file of `torch.save`, or a folder with exactly one such file.

    Raises:
        WeightsError: where there is no such file, or it is empty, truncated, damaged, no checkpoint, or refused.
        MissingExtraError: where torch or safetensors is not installed.
        MemoryError: where the file is larger than the memory that is free.
    """
    file = find_checkpoint(path)
    try:
        with file.open("rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise WeightsError(f"cannot read {file}: {error.strerror or error}") from error
    if not head:
        raise WeightsError(f"{file.name} is empty (0 bytes): copy or download it again")
    if _is_safetensors(head):
        raw: object = _read_safetensors(file)
    elif head.startswith((b"PK\x03\x04", b"\x80")):  # torch.save: a zip archive since 1.6, bare pickles before
        raw = _read_pickle(file)
    else:
        raise WeightsError(f"{file.name} {_what_instead(head)}: expected a safetensors file or one of torch.save")
    if not isinstance(raw, dict):
        raise WeightsError(
            f"{file.name} holds an object of type {type(raw).__name__}, expected a dictionary of tensors: save the "
            "state dict of the model"
        )
    return raw


def safetensors_metadata(file: Path) -> dict[str, str]:
    """The metadata of a file that `read_checkpoint` has read; empty where it has none, or is no safetensors file."""
    with file.open("rb") as stream:
        if not _is_safetensors(stream.read(9)):
            return {}
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return dict(opened.metadata() or {})


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins as one: the length of a JSON header in 8 bytes, then the header."""
    return head[8:9] == b"{"


def _what_instead(head: bytes) -> str:
    if head.lstrip().startswith(b"<"):
        return "is a web page, not weights (a download that was answered with a page)"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the weights themselves (run  git lfs pull)"
    return "is damaged or no checkpoint"


def _read_safetensors(file: Path) -> object:
    require("export", "safetensors", "torch")
    from safetensors.torch import load_file

    try:
        return load_file(file, device="cpu")
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can end in any exception of its reader
        raise WeightsError(
            f"{file.name} is a damaged or truncated safetensors file ({one_line(str(error))}): copy or download it "
            "again"
        ) from error


class _Skipped:
    """Stands in for a numpy scalar, so that no code of numpy is reached from a pickle; keeps nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_SKIPPED = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype")


def _read_pickle(file: Path) -> object:
    require("export", "torch")
    import torch

    try:
        # An open file, because the reader would choose by the suffix of a path.
        with (
            file.open("rb") as stream,
            torch.serialization.safe_globals([Namespace, *((_Skipped, name) for name in _SKIPPED)]),
        ):
            loaded: object = torch.load(stream, map_location="cpu", weights_only=True)
            return loaded
    except MemoryError:
        raise
    except Exception as error:  # as above
        raise _unread(file, error) from error


def _unread(file: Path, error: Exception) -> WeightsError | MemoryError:
    """What an error of the unpickler means for a file of `torch.save`."""
    message = str(error)
    # PyTorch's allocator raises a RuntimeError; only a damaged file asks for more than it holds, nothing is compressed.
    wanted = re.search(r"DefaultCPUAllocator: .*you tried to allocate (\d+) bytes", message)
    if wanted is not None and int(wanted[1]) <= file.stat().st_size:
        return MemoryError(f"no {wanted[1]} bytes of memory are free for a tensor of {file.name}")
    refused = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)", message)
    if refused is not None:
        return WeightsError(
            f"{file.name} is refused, because it asks for {refused[1]} to be run while it is read, expected "
            "tensors and plain values only: where you trust it, save its state dict alone"
        )
    reason = re.split(r"In PyTorch 2\.6|Check the documentation", message.rpartition("Unpickler error:")[2])[0]
    return WeightsError(
        f"{file.name} is damaged, truncated or no checkpoint of tensors and plain values "
        f"({one_line(reason) or type(error).__name__}): copy or save it again"
    )
