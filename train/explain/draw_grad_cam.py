"""Grad-CAM of a fine-tuned classifier: some images drawn, all compared with their masks (paper, section 7.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from radiodino.runtime.errors import InputError, WeightsError

from ..classify.checkpoint import load_classifier
from ..classify.classifier import Classifier
from ..classify.demonstration import demonstration_classifier
from ..segment.metrics import EMPTY_CONVENTION, overlap, summary
from .choice import ShownImages
from .grad_cam import GradCam, grad_cam, threshold_mask
from .page import shortened
from .pictures import grad_cam_picture
from .settings import PREDICTED, Settings
from .work import Work, chosen_places, taken

_LAYER = "patch tokens after the first norm of the last block"


@dataclass(frozen=True)
class OpenedClassifier:
    """A fine-tuned classifier, found to be what was asked for."""

    module: Classifier
    classes: list[str]
    image_size: int
    """Of the fine-tuning, in pixels."""
    document: dict[str, Any]

    def size_for(self, settings: Settings) -> int:
        """The image size to explain at: its own unless another is asked for."""
        return self.image_size if settings.image_size is None else settings.image_size

    def at(self, work: Work) -> nn.Module:
        """The same classifier for the image size that is asked for: its position table resized."""
        backbone = work.backbone(self.size_for(work.settings))
        return Classifier(backbone, self.module.head).to(work.device).eval()


def open_classifier(settings: Settings) -> OpenedClassifier:
    """The classifier that ``settings.weights`` name.

    Raises:
        WeightsError: where they are no classifier, or this installation has no demonstration classifier.
        InputError: where it is of another variant, or has no such class.
    """
    module, document = (
        demonstration_classifier(settings.variant)[:2]
        if settings.weights == "demo"
        else load_classifier(settings.weights)
    )
    if document["variant"] != settings.variant.name:
        raise InputError(
            f"the classifier is of the variant {document['variant']}, not {settings.variant.name}: give --variant "
            f"{document['variant']}"
        )
    classes: list[str] = document["classes"]
    if not all(isinstance(name, str) for name in classes):
        raise WeightsError(f"the classes of the classifier are no names, found {classes}: fine-tune again")
    if settings.target not in (PREDICTED, *classes):
        raise InputError(f"there is no class '{settings.target}': choose {PREDICTED} or one of {', '.join(classes)}")
    return OpenedClassifier(module, classes, int(document["image_size"]), document)


def draw_grad_cam(work: Work, opened: OpenedClassifier) -> dict[str, Any]:
    """The picture; what is recorded of it, with Dice of all images where there are masks."""
    settings, inputs = work.settings, work.masks or work.data
    classifier, classes, size = opened.at(work), opened.classes, opened.size_for(settings)
    images = work.pairs(size) if work.masks else work.shown(size, inputs)
    places = chosen_places(images.labels, settings.count)

    maps: dict[int, Tensor] = {}
    marks: dict[int, Tensor] = {}
    rows: list[dict[str, Any]] = []
    for batch in work.batches("Grad-CAM", images):
        wanted = None
        if settings.target != PREDICTED:
            wanted = torch.full((len(batch),), classes.index(settings.target), device=work.device)
        found = grad_cam(classifier, batch, wanted)
        marked = threshold_mask(found.maps, settings.threshold)
        inside = range(len(rows), len(rows) + len(batch))
        maps |= {place: found.maps[place - inside.start].cpu() for place in inside if place in places}
        marks |= {place: marked[place - inside.start].cpu() for place in inside if place in places}
        rows += _rows(found, marked.cpu(), images, inside, classes)

    picture = grad_cam_picture(
        work.heading("Grad-CAM of the fine-tuned classifier", size, inputs, _grad_cam_note(settings)),
        taken(images, places),
        torch.stack([maps[place] for place in places]).numpy(),
        torch.stack([marks[place] for place in places]).numpy(),
        [_remark(rows[place]) for place in places],
    )
    result: dict[str, Any] = {
        "file": work.save("gradcam", picture),
        "image_size": size,
        "layer": _LAYER,
        "target": settings.target,
        "threshold": settings.threshold,
        "threshold_is": "a share of the map's own maximum",
        "classifier": {entry: opened.document.get(entry) for entry in ("training_set", "weights", "fold")},
        "silent": sum(row["silent"] for row in rows),
        "images": rows,
    }
    if images.masks is not None:
        dice, iou, lesions = (np.array([row[name] for row in rows]) for name in ("dice", "iou", "lesion"))
        result["overlap"] = {**summary(dice, iou, lesions, images.labels), "empty": EMPTY_CONVENTION}
    return result


def _rows(
    found: GradCam, marked: Tensor, images: ShownImages, inside: range, classes: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """What is recorded of each image of a batch, those at the places `inside`."""
    scores: Any = None
    if images.masks is not None:
        scores = overlap(marked, torch.from_numpy(images.masks[inside.start : inside.stop]))
    for offset, place in enumerate(inside):
        explained = int(found.classes[offset])
        row: dict[str, Any] = {
            "name": images.names[place],
            "label": images.labels[place],
            "class": classes[explained],
            "probability": float(found.probabilities[offset, explained]),
            "silent": bool(found.silent[offset]),
            "share_marked": float(marked[offset].float().mean()),
        }
        if images.masks is not None:
            row |= {"lesion": bool(images.masks[place].any())}
            row |= {name: float(values[offset]) for name, values in zip(("dice", "iou"), scores, strict=True)}
        yield row


def _grad_cam_note(settings: Settings) -> str:
    explained = "the predicted one" if settings.target == PREDICTED else settings.target
    return (
        f"Grad-CAM at the {_LAYER}, upsampled bilinearly; the class explained is {explained}. Orange: at least "
        f"{100 * settings.threshold:g} % of the map's own maximum."
    )


def _remark(row: dict[str, Any]) -> str:
    lines = [shortened(row["class"]), f"probability {row['probability']:.2f}"]
    if row["silent"]:
        lines.append("no patch speaks for it")
    if "dice" in row:
        lines.append(f"Dice {row['dice']:.3f}" if row["lesion"] else "no lesion in the mask")
    return "\n".join(lines)
