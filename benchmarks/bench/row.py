"""What is reported of one contender."""

from __future__ import annotations

from dataclasses import dataclass

from .summary import Latency, Ratio
from .work import Work


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Answers beside the original's, over some images."""

    images: int
    mean_cosine: float
    """Of the embeddings to the original's."""
    min_cosine: float
    """Of the worst image."""
    label: str | None
    """What is called a label: ``class``, or ``nearest label`` of the most similar labelled image; None where there is
    neither."""
    clear: int | None
    """Images on which the original has a clear label."""
    same_label: float | None
    """Share of those that keep it, 0..1; None where there are none."""
    dice_to_original: float | None
    """Of the masks with the original's, all pixels of all images together; None where both mark nothing."""
    scores: dict[str, float]
    """Against the truth, 0..1: ``accuracy``, ``f1``, ``auc`` of classes, or of nearest labels without ``auc``; ``dice``
    of masks with a lesion. Empty without ``--data`` and ``--masks``."""
    changes: dict[str, float]
    """Each score less the original's."""


@dataclass(frozen=True, kw_only=True)
class FromFile:
    """From an image on disk to the answer."""

    latency: Latency
    ratio: Ratio
    """To the model card's snippet around the original, in the same rounds."""
    decode: float
    """Share of the time, as the two that follow: medians, 0..1."""
    resize: float
    """And normalise."""
    inference: float
    seconds: tuple[tuple[float, ...], ...]
    """Of each run of each round."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender in one work."""

    work: Work
    name: str
    engine: str
    version: str
    """Of the engine."""
    precision: str
    compute: str
    """The arithmetic that was active, of an int8 file that of its float parts."""
    device: str
    maker: str
    """See `radiodino.benchmarks.bench.contender.Contender.maker`."""
    is_peer: bool
    is_original: bool
    """Whether others' ratios are to it."""
    latency: Latency
    images_per_second: float
    """Batch / p50."""
    ratio: Ratio
    """To the original on the same device, in the same rounds."""
    import_seconds: float
    load_seconds: float
    first_seconds: float
    peak_mib: float | None
    """Of the process, interpreter and libraries included; of a CUDA row its memory beside the GPU's."""
    file_bytes: int
    parameters: int
    """Of the original."""
    gmacs: float
    """10⁹ multiply-adds of the original for one image; an export may need fewer."""
    gflops: float
    """2 · gmacs · images_per_second: 10⁹ of the original's operations done in a second."""
    peak_share: float | None
    """Of the fastest matrix product in the same arithmetic, device and threads; None where none was measured."""
    quality: Quality | None
    from_file: FromFile | None
    """None where it was not asked for, or the contender reads no images."""
    remarks: tuple[str, ...]
    stable: bool
    """Whether the runs to warm up became stable."""
    warm_seconds: tuple[float, ...]
    """Of each run to warm up."""
    seconds: tuple[tuple[float, ...], ...]
    """Of each run of each round."""
    cpu_seconds: tuple[tuple[float, ...], ...] = ()
    """Likewise, processor time of all threads; empty in reports of earlier versions."""


@dataclass(frozen=True, kw_only=True)
class WorkNote:
    """What is said of one work as a whole."""

    work: Work
    peaks: dict[str, float]
    """See `radiodino.benchmarks.bench.matrix_peak.peaks`."""
    others: float
    """See `radiodino.benchmarks.bench.noise.Noise`."""
    stolen: float
    noise: str | None
    """What must be said of it; None where the machine was left alone."""
    left_out: dict[str, str]
    """Who does not take part, and why."""
    images: str
    """In words: those that quality was judged on."""
    file: str | None
    """In words: the image of `Row.from_file`."""
