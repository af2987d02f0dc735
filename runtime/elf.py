"""Which shared libraries an ELF file asks for, read from the file: loading it would need them all."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_LOAD, _DYNAMIC = 1, 2  # types of program headers
_NEEDED, _STRINGS = 1, 5  # tags of the dynamic section


def needed_libraries(path: Path) -> tuple[str, ...]:
    """The names under ``DT_NEEDED``, in their order.

    Args:
        path: a 64-bit little-endian ELF file, such as a Linux extension module.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        try:
            return _needed(stream)
        except struct.error:
            raise ValueError(f"{path} is a damaged ELF file") from None


def _needed(stream: BinaryIO) -> tuple[str, ...]:
    header = stream.read(64)
    if header[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    (offset,) = struct.unpack_from("<Q", header, 32)
    size, count = struct.unpack_from("<HH", header, 54)
    stream.seek(offset)
    table = stream.read(size * count)
    segments = [struct.unpack_from("<IIQQQQ", table, size * index) for index in range(count)]
    entries: list[tuple[int, int]] = []
    for kind, _flags, start, _address, _physical, length in segments:
        if kind == _DYNAMIC:
            stream.seek(start)
            data = stream.read(length)
            entries += struct.iter_unpack("<QQ", data[: len(data) // 16 * 16])
    strings = next((value for tag, value in entries if tag == _STRINGS), None)
    if strings is None:
        return ()
    place = next(
        strings - address + start
        for kind, _flags, start, address, _physical, length in segments
        if kind == _LOAD and address <= strings < address + length
    )
    return tuple(_text(stream, place + value) for tag, value in entries if tag == _NEEDED)


def _text(stream: BinaryIO, place: int) -> str:
    stream.seek(place)
    return stream.read(256).split(b"\0", 1)[0].decode(errors="replace")
