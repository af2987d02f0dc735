"""The network that is measured: the PyTorch original, what it costs, and what its exports are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from radiodino.export.original import Original, load_original
from radiodino.export.settings import DEFAULT_IMAGE_SIZE, ExportSettings, check_image_size
from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import Variant
from radiodino.train.weights.demonstration import demonstrates

from .gmacs import multiply_adds, parameters
from .original_network import OriginalNetwork
from .random_heads import random_head_files
from .weights_words import NAMED, in_words

AUTO = "auto"
_HEADLESS = "embed"


@dataclass(frozen=True, eq=False)
class Subject:
    """One network."""

    settings: ExportSettings
    """Of its exports, but for their precision and place."""
    original: Original
    network: OriginalNetwork
    file: Path
    """`network`, pickled: for the processes of PyTorch."""
    file_bytes: int
    """Of its numbers as they are stored in a checkpoint, fp32."""
    macs: int
    """Multiply-adds for one image."""
    parameters: int
    weights: str
    """In words: whose."""
    is_trained: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what it gives."""
        return self.network.outputs


def load_subject(
    variant: Variant, task: str, weights: tuple[str, ...], image_size: int | None, head: str, folder: Path
) -> Subject:
    """The network that is named.

    Args:
        variant: of the backbone.
        task: of `radiodino.runtime.model_info.TASKS`.
        weights: as of radiodino-export, ``random`` for heads too, or ``auto``: the demonstration weights where this
            package has some of that variant and size, else random ones.
        image_size: side in pixels; None takes 224, or that of the heads' training.
        head: of random segmenters.
        folder: for what is written on the way; each subject's own.

    Raises:
        RadioDinoError: see `radiodino.export.original.load_original`.
    """
    if weights == (AUTO,):
        demo = demonstrates(variant) and (task == _HEADLESS or image_size in (None, DEFAULT_IMAGE_SIZE))
        weights = ("demo",) if demo else ("random",)
    named = weights
    if task != _HEADLESS and weights == ("random",):
        size = image_size or DEFAULT_IMAGE_SIZE
        check_image_size(variant, size)
        named = random_head_files(variant, task, size, head, folder)
    settings = ExportSettings(
        variant,
        named[0] if task == _HEADLESS and len(named) == 1 else named,
        task=task,
        image_size=image_size,
        output=folder / "unwritten.onnx",
    )
    settings.check()
    original = load_original(settings)
    network = OriginalNetwork(original).eval()
    file = folder / "original.pt"
    torch.save(network, file)
    return Subject(
        settings=settings,
        original=original,
        network=network,
        file=file,
        file_bytes=sum(value.numel() * value.element_size() for value in network.state_dict().values()),
        macs=multiply_adds(network, original.image_size),
        parameters=parameters(network),
        weights=in_words(weights, original.notice),
        is_trained=weights != ("random",),
    )


def check_weights(weights: tuple[str, ...], variants: tuple[str, ...], tasks: tuple[str, ...]) -> None:
    """Refuse files of one network where several are measured.

    Raises:
        InputError: where it is so.
    """
    if weights in [(name,) for name in (AUTO, *NAMED)] or len(variants) * len(tasks) == 1:
        return
    raise InputError(
        f"--weights {', '.join(weights)} belongs to one network, and {len(variants) * len(tasks)} are to be measured: "
        "name one --variant and one --task with it, or take --weights random"
    )
