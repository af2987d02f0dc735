"""Zip archives of images: their list, as that of the folder they would unpack to, and their members."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import UnreadableImageError
from .archive import open_archive, said
from .item import Item, printable
from .left_out import TWICE, LeftOut, why_file_left_out, why_folder_left_out

MEMBER_LIMIT = 256 << 20
"""Bytes that one member of a zip archive may unpack to, against archives made to fill the memory."""


def list_zip(path: str) -> Iterator[Item | LeftOut]:
    """The members of the zip archive `path`, without unpacking any; labels are the first folder inside it.

    Raises:
        InputError: its table of contents cannot be read.
    """
    with open_archive(path, "zip archive", "copy or pack") as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        members = {info.filename: ZipMember.of(path, info) for info in infos}  # of two, the later counts
    yield from [LeftOut(path, TWICE)] * (len(infos) - len(members))
    for member in sorted(members, key=lambda name: name.split("/")):
        name = printable(f"{path}/{member}")
        *folders, last = [part for part in member.split("/") if part] or [member]
        why = next(filter(None, map(why_folder_left_out, folders)), None) or why_file_left_out(last)
        if why is None:
            yield Item(name, printable(folders[0]) if folders else "", members[member])
        else:
            yield LeftOut(name, why)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One member of a zip archive, as its table of contents describes it.

    Reading it shares no state: each call opens the archive, seeks and unpacks.
    """

    file: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int
    encrypted: bool

    @classmethod
    def of(cls, file: str, info: zipfile.ZipInfo) -> ZipMember:
        """The member that `info` describes in the archive `file`."""
        encrypted = bool(info.flag_bits & 1)
        return cls(
            file, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type, encrypted
        )

    def load(self) -> bytes:
        """The unpacked bytes.

        Raises:
            UnreadableImageError: it is encrypted, too large for `MEMBER_LIMIT` or for the memory, damaged, packed in
                another way than stored or deflated, or the archive is gone.
        """
        if self.encrypted:
            raise UnreadableImageError("it is encrypted: unpack the archive with its password")
        if max(self.size, self.packed) > MEMBER_LIMIT:
            raise UnreadableImageError(f"it is larger than {MEMBER_LIMIT >> 20} MiB: unpack the archive to read it")
        unpack = _UNPACK.get(self.method)
        if unpack is None:
            raise UnreadableImageError(f"it is packed by method {self.method}: pack the archive again with 'deflate'")
        try:
            with open(self.file, "rb") as archive:
                archive.seek(self.offset)
                signature, name, extra = struct.unpack("<4s22xHH", archive.read(30))
                archive.seek(name + extra, os.SEEK_CUR)
                data = unpack(archive.read(self.packed), self.size)
        except (OSError, ValueError, struct.error, zlib.error) as error:
            raise UnreadableImageError(f"the archive is damaged or gone ({said(error)})") from error
        except MemoryError:
            raise UnreadableImageError("there is too little memory to unpack it: unpack the archive") from None
        if signature != b"PK\x03\x04" or len(data) != self.size or zlib.crc32(data) != self.crc:
            raise UnreadableImageError("it does not fit its checksum in the archive: it is damaged")
        return data


def _stored(packed: bytes, size: int) -> bytes:
    return packed[: size + 1]


def _inflate(packed: bytes, size: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)  # one more, to notice a longer one


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {zipfile.ZIP_STORED: _stored, zipfile.ZIP_DEFLATED: _inflate}
