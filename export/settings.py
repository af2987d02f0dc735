"""What to export, and how; readable without PyTorch, so that a mistake is said before PyTorch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from radiodino.runtime.atomic import refuse_existing
from radiodino.runtime.compute import PRECISIONS
from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import Variant

from .int8.limits import FEWEST_IMAGES, GateLimits

OUTPUTS = {  # in the order in which a file has them
    "embedding": "normalised CLS token of the last block",
    "logits": "of the classes, from the linear head on the embedding, before softmax",
    "probabilities": "of the classes: softmax(logits / temperature)",
    "mask": "probability of each pixel of the network's input to belong to what the mask marks",
    "patch_tokens": "normalised patch tokens of the last block, row by row from the top left",
    "attention": "softmax attention of the CLS token to each patch, per head of the last block",
    "cam": (
        "class-activation map of the CLS head: the class's weights of the linear head applied to each patch token "
        "after the final norm, bias left out, row by row from the top left; signed, in units of the logits. The head "
        "learnt on the CLS token, so a map says which patches look as the CLS token of that class does, not what "
        "the answer was made of; it is no Grad-CAM: no gradients, no mean over patches, nothing set to 0"
    ),
}

_EMBED, _CLASSIFY, _SEGMENT = ("embedding",), ("logits", "probabilities"), ("mask",)
TASK_OUTPUTS = {
    "embed": _EMBED,
    "classify": _EMBED + _CLASSIFY,
    "segment": _EMBED + _SEGMENT,
    "classify+segment": _EMBED + _CLASSIFY + _SEGMENT,
}
"""What a file of each of `radiodino.runtime.model_info.TASKS` always gives."""

OPTIONAL_OUTPUTS = ("patch_tokens", "attention", "cam")
"""``cam`` only where the file classifies."""

DEFAULT_IMAGE_SIZE = 224
DEFAULT_CALIBRATION_COUNT = 200


@dataclass(frozen=True)
class ExportSettings:
    """One export."""

    variant: Variant
    weights: str | tuple[str, ...] = "published"
    """To embed: ``published``, ``demo``, ``random``, or the path of a checkpoint. For a task with heads: ``demo``, or
    the paths of the files of radiodino-train finetune and segment, one for each head."""
    task: str = "embed"
    """One of `TASK_OUTPUTS`."""
    seed: int = 0
    """For random weights."""
    checkpoint_key: str | None = None
    """``teacher`` or ``student`` of a training checkpoint; None takes the teacher where there is one."""
    precision: str = "fp32"
    image_size: int | None = None
    """Side in pixels, a multiple of the variant's patch. None: 224 to embed, that of its training for a head."""
    outputs: tuple[str, ...] = ()
    """Beside those of the task, of `OPTIONAL_OUTPUTS`."""
    output: Path | None = None
    """None: ``radiodino-<variant>-<precision>.onnx`` in the current folder; between variant and precision stand
    ``demo`` for demonstration weights, and the task unless it is to embed."""
    force: bool = False
    """Whether an existing file may be replaced."""
    calibration: tuple[str, ...] = ()
    """Real images of the kind that an int8 file is for: folders, files, archives, image sets."""
    calibration_count: int = DEFAULT_CALIBRATION_COUNT
    """Images to calibrate on; up to as many others judge the file."""
    calibration_seed: int = 0
    """Of the choice of images."""
    gate_limits: GateLimits = field(default_factory=GateLimits)
    """What an int8 file must reach beside the original."""
    symmetric: bool = False
    """Whether an int8 file's activations are rounded symmetrically, as TensorRT asks for."""

    @property
    def named_weights(self) -> tuple[str, ...]:
        """`weights`, one or several."""
        return (self.weights,) if isinstance(self.weights, str) else self.weights

    @property
    def target(self) -> Path:
        """The file to write."""
        demo = ["demo"] if self.named_weights == ("demo",) else []
        task = [] if self.task == "embed" else [self.task.replace("+", "-")]
        kind = [self.precision, "symmetric"] if self.symmetric else [self.precision]
        return self.output or Path("-".join(["radiodino", self.variant.name, *demo, *task, *kind]) + ".onnx")

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs of the task and the optional ones asked for, in the order of `OUTPUTS`."""
        return tuple(name for name in OUTPUTS if name in TASK_OUTPUTS[self.task] or name in self.outputs)

    def check(self) -> None:
        """Refuse what cannot be exported, before any work is done.

        Raises:
            InputError: an unknown task, output or precision, an image size that the patch does not divide, or weights
                that the task cannot have.
            OutputError: the file exists already or cannot be written.
        """
        if self.task not in TASK_OUTPUTS:
            raise InputError(f"there is no task '{self.task}': choose {', '.join(TASK_OUTPUTS)}")
        if self.precision not in PRECISIONS:
            raise InputError(f"there is no precision '{self.precision}': choose {', '.join(PRECISIONS)}")
        for name in self.outputs:
            if name not in (*TASK_OUTPUTS[self.task], *OPTIONAL_OUTPUTS):
                raise InputError(
                    f"there is no output '{name}' to add to those of --task {self.task}: choose of "
                    f"{', '.join(OPTIONAL_OUTPUTS)}"
                )
            if name == "cam" and "logits" not in self.output_names:
                raise InputError(
                    f"'cam' is a map of a classification head, which --task {self.task} has not: leave it out, or "
                    "export with --task classify or classify+segment"
                )
        if not 0 <= self.seed < 2**63:
            raise InputError(f"the seed must lie between 0 and 2^63 - 1, not at {self.seed}")
        check_image_size(self.variant, DEFAULT_IMAGE_SIZE if self.image_size is None else self.image_size)
        self.check_calibration()
        self.check_weights()
        refuse_existing(self.target, overwrite=self.force)

    def check_calibration(self) -> None:
        """Refuse calibration images where they have no use, and their lack where they have.

        Raises:
            InputError: where it is so, or a number or limit that cannot be.
        """
        if self.precision == "int8" and not self.calibration:
            raise InputError(
                "--int8 chooses its ranges on real images: name some of the kind that the file is for with "
                "--calibration (a folder, .zip or .npz), or take --int8-dynamic"
            )
        others = (self.calibration_count, self.calibration_seed, self.gate_limits)
        if self.precision != "int8" and (self.calibration or others != (DEFAULT_CALIBRATION_COUNT, 0, GateLimits())):
            raise InputError(
                f"--calibration and what goes with it belong to --int8, not to {self.precision}: leave them out, or "
                "add --int8"
            )
        if self.calibration_count < FEWEST_IMAGES:
            raise InputError(
                f"--calibration-count must be at least {FEWEST_IMAGES}, better "
                f"{DEFAULT_CALIBRATION_COUNT}, not {self.calibration_count}"
            )
        self.gate_limits.check()

    def check_weights(self) -> None:
        """Refuse weights that the task cannot have, as far as their names tell.

        Raises:
            InputError: too many or too few are named, or a name or key that the task has no use for.
        """
        if self.task == "embed":
            if len(self.named_weights) != 1:
                raise InputError(
                    f"one --weights is wanted for --task embed, and {len(self.named_weights)} were given: name one"
                )
            return
        if self.checkpoint_key is not None:
            raise InputError(
                f"--checkpoint-key belongs to --task embed: what --task {self.task} takes holds one backbone alone, "
                "leave the key out"
            )
        if self.named_weights == ("demo",):
            return
        files = [_FILES[part] for part in self.task.split("+")]
        kinds = [name for name in self.named_weights if name in ("published", "demo", "random")]
        if kinds or len(self.named_weights) != len(files):
            found = ", ".join(self.named_weights) or "none"
            raise InputError(
                f"--task {self.task} takes --weights demo, or --weights FILE for {' and for '.join(files)}, "
                f"found {found}"
            )


_FILES = {
    "classify": "the classifier.pth of radiodino-train finetune",
    "segment": "a segmenter-*.pth of radiodino-train segment",
}


def check_image_size(variant: Variant, image_size: int) -> None:
    """See that `variant` can be exported for images of `image_size` pixels.

    Raises:
        InputError: where the patch does not divide it, or it is too large.
    """
    if variant.grid(image_size) > _LARGEST_GRID:
        largest = _LARGEST_GRID * variant.patch
        raise InputError(
            f"image size {image_size} asks for more attention than a workstation holds: use at most {largest}"
        )


_LARGEST_GRID = 64
"""Patches along one side: attention holds a number for each pair of patches, 64 MiB an image and head at this size."""
