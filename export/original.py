"""The PyTorch original of an export: one backbone, the heads on it, and what is known of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from radiodino.runtime.errors import InputError, WeightsError
from radiodino.runtime.model_info import ClassifierInfo, SegmenterInfo, Weights
from radiodino.train.classify.classifier import Classifier
from radiodino.train.segment.segmenter import Segmenter
from radiodino.train.weights.descent import inherited_notice, was_frozen
from radiodino.train.weights.load import load_weights

from .head_info import KINDS, check_head_document, classifier_info, origin_of, segmenter_info, weights_info
from .open_head import OpenedHead, open_demonstration_head, open_head
from .settings import DEFAULT_IMAGE_SIZE, ExportSettings, check_image_size
from .task_network import Heads


@dataclass(frozen=True)
class Original:
    """What an export is made from and compared with; all modules in evaluation mode, on the CPU, in fp32."""

    backbone: nn.Module
    image_size: int
    """Side in pixels of what `backbone` takes."""
    weights: Weights
    """Of the backbone."""
    notice: str | None
    """What must be said of them, see `radiodino.runtime.notice`."""
    classifier: Classifier | None = None
    classifier_info: ClassifierInfo | None = None
    segmenter: Segmenter | None = None
    segmenter_info: SegmenterInfo | None = None

    @property
    def heads(self) -> Heads:
        """What is exported beside the backbone."""
        return Heads(
            classifier=None if self.classifier is None else self.classifier.head,
            temperature=1.0 if self.classifier_info is None else self.classifier_info.temperature,
            segmenter=None if self.segmenter is None else self.segmenter.head,
        )


def load_original(settings: ExportSettings) -> Original:
    """The modules that `settings` name.

    Args:
        settings: found right by its `check`.

    Raises:
        InputError: an image size, variant or file that does not fit the task, or the other file.
        WeightsError: weights that cannot be had, are damaged, or are no head; two heads on different backbones.
    """
    variant = settings.variant
    if settings.task == "embed":
        return _bare(settings)
    tasks = settings.task.split("+")
    if settings.named_weights == ("demo",):
        opened = {task: open_demonstration_head(task, variant) for task in tasks}
    else:
        opened = _heads_in(settings.named_weights, settings.task)
    for head in opened.values():
        check_head_document(head.document, head.name, variant)
    size = _common_size(list(opened.values()), settings.image_size)
    check_image_size(variant, size)
    _refuse_other_backbone(list(opened.values()))

    first = opened[tasks[0]]
    for head in opened.values():
        head.module.backbone = first.module.backbone
    if settings.named_weights == ("demo",):
        _, source = load_weights(variant, "demo", image_size=size)
        weights, notice = weights_info(source), source.notice
    else:
        weights, notice = _weights_of(list(opened.values()))
    original = Original(first.module.backbone, size, weights, notice)
    if "classify" in opened:
        head = opened["classify"]
        info = classifier_info(head.document, head.name, head.sha256)
        original = replace(original, classifier=head.module, classifier_info=info)
    if "segment" in opened:
        head = opened["segment"]
        shown = segmenter_info(head.document, head.name, head.sha256)
        original = replace(original, segmenter=head.module, segmenter_info=shown)
    return original


def _bare(settings: ExportSettings) -> Original:
    size = DEFAULT_IMAGE_SIZE if settings.image_size is None else settings.image_size
    backbone, source = load_weights(
        settings.variant,
        settings.named_weights[0],
        image_size=size,
        seed=settings.seed,
        checkpoint_key=settings.checkpoint_key,
    )
    seed = settings.seed if source.kind == "random" else None
    weights = weights_info(source, seed=seed, checkpoint_key=settings.checkpoint_key)
    return Original(backbone, size, weights, source.notice)


def _heads_in(paths: Sequence[str], task: str) -> dict[str, OpenedHead]:
    """The heads in `paths` by the task that each states, which must be those of `task`."""
    wanted = task.split("+")
    found: dict[str, OpenedHead] = {}
    for path in paths:
        head = open_head(Path(path))
        if head.task not in wanted or head.task in found:
            reason = "another one was given before it" if head.task in found else f"--task {task} has no use for it"
            raise InputError(
                f"{head.name} holds {_WORDS[head.task]}, and {reason}: give --weights FILE for "
                f"{' and for '.join(_WORDS[part] for part in wanted)}"
            )
        found[head.task] = head
    return found


_WORDS = {"classify": "a classifier", "segment": "a segmenter"}


def _common_size(opened: Sequence[OpenedHead], asked: int | None) -> int:
    sizes = {head.name: int(head.document["image_size"]) for head in opened}
    told = " and ".join(f"{name} for {size} px" for name, size in sizes.items())
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"{told}: heads of one file see the same image, train both at one size (--image-size of radiodino-train)"
        )
    size = next(iter(sizes.values()))
    if asked not in (None, size):
        raise InputError(
            f"{told}, not for {asked} px: a head is exported for the size that it was trained at, leave out "
            "--image-size or train it again"
        )
    return size


def _refuse_other_backbone(opened: Sequence[OpenedHead]) -> None:
    first, *others = opened
    for other in others:
        own, its = first.module.backbone.state_dict(), other.module.backbone.state_dict()
        differing = [name for name in own if not torch.equal(own[name], its[name])]
        if differing:
            raise WeightsError(
                f"the backbones of {first.name} and {other.name} differ ({len(differing)} of {len(own)} entries), and "
                "one file holds one backbone: train the classifier with --freeze-backbone, or the segmenter with "
                "--weights and the classifier's file, or export two files"
            )


def _weights_of(opened: Sequence[OpenedHead]) -> tuple[Weights, str | None]:
    """Where the common backbone came from, and what must be said of it: of several stories the one that says most."""
    # A head may have been trained on the file of another, whose origin then says more.
    stories = sorted(
        ((origin_of(head.document, head.name), head) for head in opened), key=lambda story: KINDS.index(story[0].kind)
    )
    notice = next((said for _, head in stories if (said := inherited_notice(head.document))), None)
    for origin, head in stories:
        if not was_frozen(head.document):  # it learnt, so that it is no longer what its source published
            detail = f"fine-tuned from {origin.name} (SHA-256 {origin.sha256})"
            weights = Weights(kind="file", name=head.name, sha256=head.sha256, licence=origin.licence, detail=detail)
            return weights, notice
    return stories[0][0], notice
