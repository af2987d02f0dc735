"""Which images quality is judged on: real held-out ones where some are named, else a few made-up ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from radiodino.export.int8.calibration_set import CalibrationSet
from radiodino.runtime.model_info import ClassifierInfo
from radiodino.train.data.splits import SplitSettings

from ..task_samples import FURTHER, Sample, labelled_sample, masked_sample
from .exports import synthetic_images
from .judge import JudgeSet

_SYNTHETIC = 8


def synthetic_set(image_size: int) -> JudgeSet:
    """Made-up images: enough to see that a network is the same, not how good it is."""
    images = synthetic_images(_SYNTHETIC)
    return JudgeSet((_sample(images, [""] * len(images), image_size, f"{len(images)} made-up images"),))


def neighbours_set(images: CalibrationSet, image_size: int, most: int) -> JudgeSet:
    """For an embedder: nearest labels of images that no range was chosen on.

    Args:
        images: the held-out ones are judged, those to calibrate on are the gallery.
        image_size: side in pixels.
        most: images of each.
    """
    gallery, held_out = images.calibration.first(most), images.held_out.first(most)
    labelled = len({label for label in gallery.labels if label}) > 1 and any(held_out.labels)
    parts = (gallery, held_out) if labelled else (held_out,)
    origin = f"{len(held_out)} images of {', '.join(images.info.sources)}"
    if labelled:
        origin += f", nearest among {len(gallery)} others"
    every = [image for part in parts for image in part.images]
    labels = [label for part in parts for label in part.labels]
    return JudgeSet((_sample(every, labels, image_size, origin),), len(gallery) if labelled else 0)


def heads_set(
    data: Sequence[str],
    masks: Sequence[str],
    image_size: int,
    classifier: ClassifierInfo | None,
    has_masks: bool,
    split: SplitSettings,
    most: int,
) -> JudgeSet | None:
    """For heads: the test images of their data sets; None where none are named that a head of this network is for.

    Args:
        data: labelled images, see `labelled_sample`.
        masks: images with masks, see `masked_sample`.
        image_size: side in pixels.
        classifier: of the network, where it has one.
        has_masks: whether the network gives a mask.
        split: see there.
        most: images of each, evenly taken.
    """
    samples = []
    if data and classifier is not None:
        samples.append(_thinned(labelled_sample(data, image_size, classifier.classes, split), most))
    if masks and has_masks:
        samples.append(_thinned(masked_sample(masks, image_size, split), most))
    return JudgeSet(tuple(samples)) if samples else None


def _thinned(sample: Sample, most: int) -> Sample:
    if len(sample) <= most:
        return sample
    chosen = np.linspace(0, len(sample) - 1, most).round().astype(int)
    return Sample(
        sample.kind,
        sample.pixels,
        sample.places[chosen],
        tuple(sample.names[place] for place in chosen),
        tuple(sample.labels[place] for place in chosen),
        f"{most} of {sample.origin}",
        sample.notes,
        targets=None if sample.targets is None else sample.targets[chosen],
        masks=sample.masks,
    )


def _sample(images: Sequence[Image.Image], labels: Sequence[str], image_size: int, origin: str) -> Sample:
    """Images as one array; those of another size are resized as the model card does."""
    size = (image_size, image_size)
    pixels = np.stack([
        np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1) for image in images
    ])  # fmt: skip
    names = tuple(str(number) for number in range(len(images)))
    return Sample(FURTHER, pixels, np.arange(len(images)), names, tuple(labels), origin, ())
