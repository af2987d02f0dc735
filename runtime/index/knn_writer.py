"""Classes of many images by the votes of their nearest indexed cases, as a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..blank import BLANK
from ..embed.results import Results
from ..embed.table_csv import write_texts
from ..embed.tables import refuse_with_texts, write_with_texts
from ..errors import InputError
from ..inputs.listing import Listing
from ..notice import marked
from .case_index import CaseIndex


class KnnWriter:
    """Writes ``.csv`` or ``.json``; give it to `radiodino.runtime.embed.run.embed_run`.

    For each k the table has the predicted class (``k5``) and the share of the votes of each class (``k5:benign``), then
    the distance from the index, what must be said of it (``warning``), and what of the decoding (``notice``).

    Args:
        index: whose cases vote.
        ks: numbers of neighbours.
        notice: of the model's weights.

    Attributes:
        rows: that were written.
        warned: those of them that are unlike the indexed images or blank.

    Raises:
        InputError: cases have no label, or a k is out of range.
    """

    def __init__(self, index: CaseIndex, ks: Sequence[int], notice: str | None) -> None:
        index.refuse_unlabelled(ks)
        self.rows = self.warned = 0
        self._index = index
        self._ks = sorted(set(ks))
        self._note = marked(notice)
        self._writers: dict[str, Callable[[Path, Results], None]] = {".csv": self._csv, ".json": self._json}

    def refuse(self, output: Path, *, force: bool, resume: bool) -> None:
        """See `radiodino.runtime.embed.writer.Writer`."""
        if output.suffix.lower() not in self._writers:
            raise InputError(f"{output} has no known suffix: name an --output that ends in .csv or .json")
        refuse_with_texts(output, force=force, resume=resume)

    def write(self, output: Path, results: Results, listing: Listing, *, force: bool) -> list[Path]:  # noqa: ARG002
        """See `radiodino.runtime.embed.writer.Writer`."""
        self.rows = self.warned = 0
        write = self._writers[output.suffix.lower()]
        return write_with_texts(output, results, lambda path: write(path, results), force=force)

    def _answers(self, results: Results) -> Iterator[dict[str, Any]]:
        """A row for each image."""
        most = max(*self._ks, self._index.neighbours_to_measure)
        classes, notices = self._index.classes, results.row_notices()
        for names, labels, embeddings in results.chunks():
            found = self._index.search(embeddings, min(most, len(self._index)))
            votes, unlike = self._index.votes(found, self._ks), self._index.measured(found)
            self.rows += len(names)
            for row, (name, label) in enumerate(zip(names, labels, strict=True)):
                answer: dict[str, Any] = {"filename": name, "label": label}
                for k in self._ks:
                    answer[f"k{k}"] = classes[votes.predictions[k][row]]
                    shares = zip(classes, votes.scores[k][row].tolist(), strict=True)
                    answer |= {f"k{k}:{each}": share for each, share in shares}
                answer["distance"] = float(unlike.distances[row])
                answer["notice"] = next(notices)
                is_blank = BLANK in (answer["notice"] or "")
                answer["warning"] = unlike.sentence(row, is_blank=is_blank)
                self.warned += is_blank or bool(unlike.beyond[row])
                yield answer

    def _csv(self, path: Path, results: Results) -> None:
        columns = [f"k{k}{each}" for k in self._ks for each in ("", *(f":{name}" for name in self._index.classes))]
        header = ("filename", "label", *columns, "distance", "notice", "warning", "note")
        rows = (
            (*("" if value is None else str(value) for value in answer.values()), self._note)
            for answer in self._answers(results)
        )
        write_texts(path, header, rows)

    def _json(self, path: Path, results: Results) -> None:
        head = {
            "note": self._note,
            "classes": list(self._index.classes),
            "k": self._ks,
            **self._index.describe(),
            "provenance": dict(results.provenance),
        }
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}") + ',\n "images": [')
            for number, answer in enumerate(self._answers(results)):
                file.write(("," if number else "") + "\n  " + json.dumps(answer, ensure_ascii=False))
            file.write("\n ]\n}\n")
