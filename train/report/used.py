"""Which images a run used, in words, and how they differ from the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .datasets import OTHER, last_part, recognised
from .explain_document import ExplainDocument
from .finetune_document import FinetuneDocument
from .knn_document import KnnDocument
from .outcomes import Outcome
from .paper_numbers import TABLE_1
from .probe_document import ProbeDocument
from .segment_document import SegmentDocument

_OWN_SPLIT = "as the data set or manifest says"  # `radiodino.train.data.splits.complete_splits`
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Used:
    """The images of one run."""

    inputs: tuple[str, ...]
    """As typed."""
    dataset: str | None
    """A key of `radiodino.train.report.paper_numbers.TABLE_1`; None where it is none of the paper's."""
    was_said: bool
    """Whether the user named the data set; otherwise it is known by the inputs' names."""
    counts: Mapping[str, int]
    """Images by what they were for."""
    origin: str | None
    """Of the split, in words."""
    left_out: int
    """Images that could not be read or used."""
    splits: Mapping[str, int]
    """Of `counts`, those that can be held against the paper's: ``train``, ``val``, ``test``."""

    @property
    def names(self) -> str:
        """The inputs as a person calls them."""
        return ", ".join(dict.fromkeys(last_part(one) for one in self.inputs)) or "no data"

    @property
    def in_words(self) -> str:
        """Images, split, and what was left out, as one sentence."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        split = f"; split: {self.origin}" if self.origin else ""
        left = f"; left out as unusable: {self.left_out:,}" if self.left_out else ""
        return f"{self.names}{': ' if counts else ''}{counts}{split}{left}."

    @property
    def recognition(self) -> str:
        """The data set, and how it is known."""
        if self.dataset:
            return f"{self.dataset}, {'as --dataset says' if self.was_said else 'by its name'}"
        return f"none of the paper's, {'as --dataset says' if self.was_said else 'by its name'}"

    @property
    def beside_the_paper(self) -> str | None:
        """How the images differ from those of the paper; None where the data set is none of the paper's."""
        if self.dataset is None:
            return None
        paper = TABLE_1[self.dataset]
        theirs = {name: getattr(paper, name) for name in _SPLITS}
        stated = f"The paper used {paper.total:,} images of {self.dataset}, " + "/".join(
            f"{theirs[name]:,}" for name in _SPLITS
        )
        stated += " for training, validation and test (its table 1)"
        same = bool(self.splits) and all(theirs[name] == count for name, count in self.splits.items())
        if same and self.origin == _OWN_SPLIT:
            return f"{stated}; here as many, in the split that the data set or manifest says."
        if same:
            return f"{stated}; here as many, but another draw: which image was for what in the paper is not known here."
        return (
            f"{stated}; here another selection or split, so that these numbers and the paper's are of different images "
            "and do not measure the same."
        )


def used_by(outcome: Outcome[Any], said: str | None) -> Used:
    """The images of `outcome`.

    Args:
        outcome: of any command but ``pretrain``.
        said: the data set that the user named, or `OTHER`; None where none was.
    """
    inputs, counts, origin, left_out, splits = _READERS[type(outcome.document)](outcome.document)
    dataset = recognised(inputs) if said is None else None if said == OTHER else said
    return Used(tuple(inputs), dataset, said is not None, counts, origin, left_out, splits)


_Read = tuple[Sequence[str], dict[str, int], "str | None", int, dict[str, int]]


def _knn(document: KnnDocument) -> _Read:
    settings, data = document.settings, document.data
    sizes = {"gallery": data.gallery.images, "queries": data.queries.images}
    if not settings.data:
        return (*settings.gallery_data, *settings.query_data), sizes, data.origin, len(data.unreadable), {}
    parts = {"gallery": settings.gallery, "queries": settings.queries}
    counts = {f"{part} ({' and '.join(parts[part])})": count for part, count in sizes.items()}
    alone = all(len(splits) == 1 for splits in parts.values())
    splits = {parts[part][0]: count for part, count in sizes.items()} if alone else {}
    return settings.data, counts, data.origin, len(data.unreadable), splits


def _finetune(document: FinetuneDocument) -> _Read:
    data = document.data
    counts = {split: sum(classes.values()) for split, classes in data.class_counts.items()}
    return data.inputs, counts, data.split, len(data.unreadable), _held(counts)


def _segment(document: SegmentDocument) -> _Read:
    data = document.data
    counts = {split: found["images"] for split, found in data.counts.items()}
    return data.inputs, counts, data.split, len(data.skipped), _held(counts)


def _probe(document: ProbeDocument) -> _Read:
    data = document.data
    counts = {split: sum(classes.values()) for split, classes in data.per_split_and_class.items()}
    return document.settings.data, counts, data.origin, len(data.unreadable), _held(counts)


def _explain(document: ExplainDocument) -> _Read:
    data = document.data
    return data.inputs or data.masks, {}, None, len(data.unreadable), {}


_READERS: dict[type[Any], Any] = {
    KnnDocument: _knn,
    FinetuneDocument: _finetune,
    SegmentDocument: _segment,
    ProbeDocument: _probe,
    ExplainDocument: _explain,
}


def _held(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(counts) if set(counts) == set(_SPLITS) else {}
