"""An index of embedded cases, opened: which of them are the most similar, and how they vote.

The search is exact and needs NumPy alone. `radiodino.benchmarks.nearest_neighbours` measures it beside usearch 2.26 and
faiss 1.15, one query and one thread, in milliseconds of processor time per query of 192 values:

| images    | NumPy, exact | usearch, exact | faiss, flat | usearch, HNSW | faiss, HNSW |
|-----------|--------------|----------------|-------------|---------------|-------------|
| 10,000    | 0.9          | 2.1            | 0.5         | 0.3           | 0.1         |
| 100,000   | 8            | 18             | 7           | 0.7           | 0.4         |
| 1,000,000 | 105          | 212            | 77          | not built     | not built   |

On the same machine and thread, embedding the query with the smallest network takes 15 to 29 ms: with 100,000 images the
search is the smaller part of the wait, and with a million it is a tenth of a second. The two libraries add 58 and 66 MB
(with what usearch needs) and hold in memory what NumPy maps from the disk. A graph (HNSW) of 100,000 images took 18 to
77 s to build, as long as 2,400 to 10,000 exact searches, found 95 to 98 % of the 20 nearest, and warrants no order
among equally near cases. Rows stored as float16 take half the disk, but widening them makes a search four times as
slow, and similarities are others than in the training's evaluation.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IndexFileError, InputError
from ..frame import Window
from ..typed_document import DocumentError, from_document
from .calibration import Calibration
from .container import read_container
from .nearest import Neighbours, nearest
from .texts import part
from .unlikeness import Unlikeness, measure
from .votes import Votes, count_votes


@dataclass(frozen=True)
class Case:
    """One indexed image."""

    name: str
    """As `radiodino.runtime.inputs.listing` names it, with ``#FRAME`` where its file holds several."""
    label: str
    """The first folder below what was indexed, ``""`` where there is none."""
    notice: str | None
    """What a user must know of it, from its decoding."""
    frame: int | None
    """Its place in a file of several, counted from 1."""


@dataclass(frozen=True)
class _Document:
    provenance: dict[str, Any]
    classes: tuple[str, ...]
    thumbnails: int
    folder: str | None
    calibration: Calibration | None


class CaseIndex:
    """An index of cases; open it with `CaseIndex.open`. Any number of threads may use one.

    Attributes:
        path: the file.
        embeddings: float32 (N, D), mapped from the file, read-only.
        classes: the distinct labels, by code point.
        calibration: see `radiodino.runtime.index.calibration`; None where there were too few images.
        provenance: which model, engine and settings made the embeddings.
        folder: where the names of originals begin, None where the index holds thumbnails in their place.
    """

    def __init__(self, path: Path, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        try:
            found = from_document(_Document, dict(document))
            self._arrays = dict(arrays)
            self.embeddings: NDArray[np.float32] = arrays["embeddings"]
            self._norms: NDArray[np.float64] = arrays["norms"]
            self._labels: NDArray[np.int32] = arrays["labels"]
            self.model_sha256 = str(found.provenance["model_sha256"])
        except (DocumentError, KeyError) as error:
            raise IndexFileError(f"{path} lacks a part of an index ({error}): build it again") from None
        self.path = path
        self.classes = found.classes
        self.calibration = found.calibration
        self.provenance = found.provenance
        self.folder = found.folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CaseIndex:
        """Open and verify an index.

        Args:
            path: the file that ``radiodino-run index`` wrote.

        Raises:
            IndexFileError: it is missing, no index, damaged, or of another version.
        """
        return cls(Path(path), *read_container(Path(path)))

    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def notice(self) -> str | None:
        """What must be said of the model's weights wherever a result goes."""
        notice = self.provenance.get("notice")
        return notice if isinstance(notice, str) else None

    def describe(self) -> dict[str, Any]:
        """What a result must say of the index that it came from, JSON-able."""
        return {
            "threshold": self.calibration.threshold if self.calibration else None,
            "percentile": self.calibration.percentile if self.calibration else None,
            "index": {"file": self.path.name, "cases": len(self), "provenance": self.provenance},
        }

    @property
    def window(self) -> Window | None:
        """The grey window that its DICOM images were read with; None for their own."""
        window = self.provenance.get("options", {}).get("window")
        return Window(**window) if window else None

    def refuse_other_model(self, sha256: str, path: object) -> None:
        """Refuse embeddings of another file: they are not comparable.

        Args:
            sha256: of the file that embeds the queries.
            path: where it lies, for the message.

        Raises:
            IndexFileError: the index was made with another file.
        """
        if sha256 != self.model_sha256:
            raise IndexFileError(
                f"{self.path} was made with the model file of SHA-256 {self.model_sha256[:12]}… and {path} is "
                f"{sha256[:12]}…, whose embeddings are not comparable: give the same file as --model, or build the "
                "index again with this one"
            )

    def search(self, embeddings: NDArray[np.float32], k: int = 8) -> Neighbours:
        """The k most similar cases of each query, exactly; of equal ones the one that was indexed earlier is nearer.

        Args:
            embeddings: float32 (Q, D), of the file that the index was made with; they need not be normalised.
            k: 1 to the number of cases.

        Raises:
            InputError: a shape, type or value does not fit.
        """
        return nearest(embeddings, self.embeddings, self._norms, k)

    def classify(self, embeddings: NDArray[np.float32], ks: Sequence[int] = (1, 5, 20)) -> Votes:
        """What the nearest cases vote for; the same as ``radiodino-train knn`` finds with these embeddings.

        Args:
            embeddings: as `search` takes them.
            ks: numbers of neighbours.

        Returns:
            Predictions and shares of the votes; a class is a place in `classes`.

        Raises:
            InputError: as `search`; or some of the cases have no label, or all have the same.
        """
        self.refuse_unlabelled(ks)
        return self.votes(self.search(embeddings, max(ks)), ks)

    def votes(self, found: Neighbours, ks: Sequence[int]) -> Votes:
        """As `classify`, of what `search` found."""
        return count_votes(found, self._labels, ks, len(self.classes))

    def refuse_unlabelled(self, ks: Sequence[int]) -> None:
        """Say early that `classify` could not answer.

        Raises:
            InputError: see `classify`.
        """
        if not ks or min(ks) < 1 or max(ks) > len(self):
            raise InputError(
                f"k must lie from 1 to the {len(self)} indexed images, not {', '.join(map(str, ks)) or 'nowhere'}: "
                "use 1,5,20 where there are as many"
            )
        without = int((self._labels == self.classes.index("")).sum()) if "" in self.classes else 0
        if without:
            raise InputError(
                f"{without} of the {len(self)} cases of {self.path} have no label, so their votes would count for "
                "nothing: index a folder or an archive with one folder for each class"
            )
        if len(self.classes) < 2:
            raise InputError(
                f"all cases of {self.path} have the label '{self.classes[0]}', so there is nothing to choose: index a "
                "folder or an archive with one folder for each class"
            )

    def unlike(self, embeddings: NDArray[np.float32]) -> Unlikeness:
        """Which queries are unlike the indexed images.

        Args:
            embeddings: as `search` takes them.

        Raises:
            InputError: as `search`.
        """
        return self.measured(self.search(embeddings, self.neighbours_to_measure))

    def measured(self, found: Neighbours) -> Unlikeness:
        """As `unlike`, of at least `neighbours_to_measure` that `search` found."""
        return measure(found, self.calibration)

    @property
    def neighbours_to_measure(self) -> int:
        """How many neighbours decide whether an image is unlike the indexed ones."""
        return self.calibration.neighbours if self.calibration else 1

    def case(self, row: int) -> Case:
        """What is known of row `row`."""
        frame = int(self._arrays["frames"][row])
        return Case(
            self._text("names", row),
            self.classes[self._labels[row]],
            self._text("notices", row) or None,
            frame or None,
        )

    def thumbnail(self, row: int) -> bytes | None:
        """JPEG of row `row`, None where the index holds none.

        Raises:
            IndexFileError: it is damaged.
        """
        if "thumbnails" not in self._arrays:
            return None
        data = part(self._arrays["thumbnails"], self._arrays["thumbnail_ends"], row)
        if zlib.crc32(data) != int(self._arrays["thumbnail_checks"][row]):
            raise IndexFileError(
                f"the thumbnail of {self._text('names', row)} in {self.path} is damaged: copy the index again, or "
                "build it again"
            )
        return data

    def stamp(self, row: int) -> tuple[int, int] | None:
        """Size and time of change of the original of row `row`, None where the index does not hold them."""
        if "stamps" not in self._arrays:
            return None
        size, time = self._arrays["stamps"][row].tolist()
        return size, time

    def _text(self, name: str, row: int) -> str:
        return part(self._arrays[name], self._arrays[f"{name}_ends"], row).decode("utf-8")
