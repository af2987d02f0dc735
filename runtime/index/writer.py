"""Writes an index of what a run embedded."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..embed.results import Results
from ..embed.tables import refuse_with_texts, write_with_texts
from ..errors import InputError
from ..frame import Window
from ..inputs.listing import Listing
from ..machine import usable_cores
from ..prefetch import prefetch
from .calibration import PERCENTILE, calibrate
from .container import ContainerWriter
from .nearest import lengths
from .stamp import ABSENT, stamp
from .texts import pack
from .thumbnails import LONGEST_SIDE, ThumbnailMaker

SUFFIX = ".index"
_CHUNK = 8192

Progress = Callable[[int, int], None]
"""Is told (done, total) of each of the two steps, calibration and thumbnails."""


@dataclass(frozen=True)
class IndexWriter:
    """Writes an index; give it to `radiodino.runtime.embed.run.embed_run`.

    Raises:
        InputError: a setting is out of range.
    """

    window: Window | None = None
    """As the run has it."""
    frame: int | None = None
    """As the run has it."""
    longest_side: int = LONGEST_SIDE
    """Of the thumbnails, in pixels; 0 for none."""
    percentile: float = PERCENTILE
    """See `radiodino.runtime.index.calibration`."""
    progress: Progress = field(default=lambda _done, _total: None, repr=False)

    def __post_init__(self) -> None:
        self._thumbnails()
        if not 0 < self.percentile < 100:
            raise InputError(f"the percentile lies above 0 and below 100, not at {self.percentile:g}: take 99")

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        """See `radiodino.runtime.embed.writer.Writer`."""
        if output.suffix.lower() != SUFFIX:
            raise InputError(f"{output} does not end in {SUFFIX}: name an --output such as cases{SUFFIX}")
        refuse_with_texts(output, force=force, resume=resume)

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:
        """See `radiodino.runtime.embed.writer.Writer`."""
        return write_with_texts(output, results, lambda path: self._write(path, results, listing), force=force)

    def _write(self, path: Path, results: Results, listing: Listing) -> None:
        embeddings = results.embeddings
        norms = lengths(embeddings, "embeddings")
        files = np.repeat(np.arange(len(listing)), [len(entry.frames) for entry in results.entries()])
        calibration, distances = calibrate(
            embeddings,
            norms,
            files,
            percentile=self.percentile,
            progress=self.progress,
        )
        names, labels = zip(*results.rows(), strict=True)
        classes = sorted(set(labels))
        places = {label: place for place, label in enumerate(classes)}
        frames = [frame or 0 for entry in results.entries() for frame in entry.frames]
        maker = self._thumbnails()
        with ContainerWriter(path) as container:
            chunks = (embeddings[start : start + _CHUNK] for start in range(0, len(embeddings), _CHUNK))
            container.add("embeddings", "<f4", embeddings.shape[1:], chunks)
            container.add("norms", "<f8", (), [norms])
            container.add("labels", "<i4", (), [np.array([places[label] for label in labels])])
            container.add("frames", "<i4", (), [np.array(frames)])
            container.add("distances", "<f8", (), [distances])
            _add_texts(container, "names", names)
            _add_texts(container, "notices", (notice or "" for notice in results.row_notices()))
            if maker is None:
                container.add("stamps", "<i8", (2,), [self._stamps(results, listing)])
            else:
                self._add_thumbnails(container, maker, results, listing)
            container.finish(
                {
                    "provenance": json.loads(results.provenance_json()),
                    "classes": classes,
                    "thumbnails": self.longest_side,
                    "folder": str(Path.cwd()) if maker is None else None,
                    "calibration": asdict(calibration) if calibration else None,
                }
            )

    def _thumbnails(self) -> ThumbnailMaker | None:
        return ThumbnailMaker(self.longest_side, self.window, self.frame) if self.longest_side else None

    def _add_thumbnails(
        self, container: ContainerWriter, maker: ThumbnailMaker, results: Results, listing: Listing
    ) -> None:
        sizes: list[int] = []
        checks: list[int] = []

        def chunks() -> Iterator[NDArray[Any]]:
            workers = usable_cores()
            made = prefetch(zip(listing, results.entries(), strict=True), maker.of, workers, 4 * workers)
            with closing(made):
                for done, pictures in enumerate(made, 1):
                    for picture in pictures:
                        sizes.append(len(picture))
                        checks.append(zlib.crc32(picture))
                        yield np.frombuffer(picture, np.uint8)
                    self.progress(done, len(listing))

        container.add("thumbnails", "|u1", (), chunks(), checked=False)
        container.add("thumbnail_ends", "<u8", (), [np.cumsum(sizes, dtype=np.uint64)])
        container.add("thumbnail_checks", "<u4", (), [np.array(checks, np.uint32)])

    def _stamps(self, results: Results, listing: Listing) -> NDArray[np.int64]:
        """By which an original is known to be what was indexed; of an image inside a file there is none."""
        stamps = [
            stamp(item.source) if isinstance(item.source, str) else ABSENT
            for item, entry in zip(listing, results.entries(), strict=True)
            for _ in entry.frames
        ]
        return np.array(stamps, np.int64).reshape(-1, 2)


def _add_texts(container: ContainerWriter, name: str, texts: Iterable[str]) -> None:
    data, ends = pack(text.encode("utf-8", "backslashreplace") for text in texts)
    container.add(name, "|u1", (), [data])
    container.add(f"{name}_ends", "<u8", (), [ends])
