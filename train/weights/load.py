"""A backbone with its weights, and where they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.notice import notice_of
from radiodino.runtime.variants import Variant

from ..backbone import build_backbone
from ..published.fetch import published_copy
from .backbone_state import backbone_state
from .demonstration import demonstration_backbone
from .descent import stated_notice
from .read_checkpoint import find_checkpoint, read_checkpoint
from .sha256 import file_sha256, values_sha256

if TYPE_CHECKING:
    from torch import nn

_TRAINED_SIZE = 224  # px, of the family's global crops
_KEYLESS = {"random": "random", "demo": "demonstration"}


@dataclass(frozen=True)
class WeightsSource:
    """Where weights came from; it travels with whatever is made of them."""

    kind: str
    """``published``, ``file``, ``demo`` or ``random``."""
    name: str
    """``hf_hub:Snarcy/RadioDino-s16``, a file's name without its folder, ``radiodino's demonstration weights, tiny``,
    or ``random, seed 0``."""
    sha256: str
    """Of the bytes of the file that was read; for random weights of the state dict's values in the alphabetical
    order of its keys (float32, little endian)."""
    licence: str | None
    """The licence stated at the source, None where none is stated."""
    detail: str
    """What was taken and changed: ``teacher, prefix backbone.; without head``."""
    notice: str | None = None
    """What must be said of them wherever they go, after their kind or what the file says that they descend from; None
    where nothing must. See `radiodino.runtime.notice`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "notice", self.notice or notice_of(self.kind))


def load_weights(
    variant: Variant,
    weights: str,
    *,
    image_size: int = 224,
    seed: int = 0,
    checkpoint_key: str | None = None,
) -> tuple[nn.Module, WeightsSource]:
    """The backbone of `variant` for images of `image_size`, with exactly the weights asked for.

    PyTorch's random state is left as it was.

    Args:
        variant: what to build.
        weights: ``published`` for the authors' weights (the local copy, fetched first where there is none; never any
            others), ``demo`` for the demonstration weights that come with this package, ``random`` for untrained ones
            to try things out with, or the path of a checkpoint file or folder (``./random`` for a file of that name).
        image_size: side of the square input in pixels, a multiple of the variant's patch. The position table of any of
            them is resized to it where its grid differs.
        seed: of the random weights: the same for the same seed and versions of torch and timm, whatever the size.
        checkpoint_key: take the backbone under this key of a checkpoint (``student``) instead of the teacher's.

    Returns:
        The module of `build_backbone` in evaluation mode, and where its weights came from.

    Raises:
        WeightsError: where the weights cannot be found, read, fetched or fitted to the variant.
        InputError: where the size is no multiple of the patch, no weights are named, or a key is given for
            weights that are no training checkpoint.
        OutputError: where fetched weights cannot be stored.
        MissingExtraError: where torch, timm, safetensors or huggingface_hub is needed and not installed.
        MemoryError: where a checkpoint is larger than the memory that is free.
    """
    variant.grid(image_size)  # refuse early
    if not weights:  # an empty path would mean the current folder
        raise InputError("no weights are named: expected published, demo, random, or the path of a checkpoint")
    if weights in _KEYLESS and checkpoint_key is not None:
        raise InputError(f"there is no key '{checkpoint_key}' in {_KEYLESS[weights]} weights: leave the key out")
    # Before torch is imported, which takes seconds: what cannot be reached shall be said soon.
    located = None if weights == "random" else _located(variant, weights)
    require("export", "torch", "timm")
    import torch

    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would seed a GPU's too
        if located is None:
            drawn = build_backbone(variant, _TRAINED_SIZE).state_dict()
            model, notes = fitted_backbone(drawn, variant, image_size=image_size, source="random weights")
            detail = "; ".join(["as timm initialises them", *notes.split("; ")[1:]])
            return model, WeightsSource("random", f"random, seed {seed}", values_sha256(drawn), None, detail)
        file, source = located
        raw = read_checkpoint(file)
        model, detail = fitted_backbone(
            raw, variant, image_size=image_size, checkpoint_key=checkpoint_key, source=file.name
        )
        return model, replace(source, detail=detail, notice=stated_notice(file, raw))


def fitted_backbone(
    raw: dict[str, Any],
    variant: Variant,
    *,
    image_size: int = 224,
    checkpoint_key: str | None = None,
    source: str = "the checkpoint",
) -> tuple[nn.Module, str]:
    """The backbone in what `read_checkpoint` returned, for images of `image_size`; it may share its values with `raw`.

    Args and errors are those of `backbone_state`.

    Returns:
        The module of `build_backbone` in evaluation mode, and the phrase of `backbone_state`.
    """
    import torch

    state, detail = backbone_state(raw, variant, image_size=image_size, checkpoint_key=checkpoint_key, source=source)
    with torch.device("meta"):  # without drawing initial weights only to replace them
        model = build_backbone(variant, image_size)
    model.load_state_dict(state, strict=True, assign=True)
    return model, detail


def sharpen_attention(model: nn.Module, factor: float, *, layer_scale: float | None = None) -> None:
    """Multiply the query and key projections of every block by `factor`, in place, for trials with random weights.

    The attention of untrained weights is all but uniform, so that an error in it would hardly show in the embedding;
    the logits grow by factor². LayerScale as it starts (1e-5) hides the blocks altogether.

    Args:
        model: a module of `build_backbone`.
        factor: what the weights and biases of queries and keys are multiplied by.
        layer_scale: a value for all LayerScale entries, where the model has any; None leaves them.
    """
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".attn.qkv.weight", ".attn.qkv.bias")):
                parameter[: 2 * (parameter.shape[0] // 3)] *= factor
            elif layer_scale is not None and name.endswith((".ls1.gamma", ".ls2.gamma")):
                parameter.fill_(layer_scale)


def _located(variant: Variant, weights: str) -> tuple[Path, WeightsSource]:
    """The file to read, fetched where need be, and its source, whose detail is known once it is read."""
    if weights == "published":
        copy = published_copy(variant)
        return copy.path, WeightsSource("published", copy.source, copy.sha256, copy.licence, "")
    if weights == "demo":
        path, record = demonstration_backbone(variant)
        name = f"radiodino's demonstration weights, {variant.name}"
        return path, WeightsSource("demo", name, record.files[record.backbone].sha256, record.licence, "")
    file = find_checkpoint(Path(weights))
    return file, WeightsSource("file", file.name, file_sha256(file), None, "")
