"""What is asked of an explanation, checked before anything is read."""

from __future__ import annotations

from dataclasses import dataclass

from radiodino.runtime.errors import InputError
from radiodino.runtime.extras import require
from radiodino.runtime.variants import Variant

from ..features.device import ACCELERATORS
from .attention_maps import check_mass
from .grad_cam import PAPER_THRESHOLD, check_threshold
from .pca import check_foreground
from .umap_map import check_layout

PICTURES = ("attention", "gradcam", "pca", "umap")
PREDICTED = "predicted"
_FINE, _USUAL = 448, 224  # px: fine maps of patches; the paper's fine-tuning


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every choice of one explanation."""

    variant: Variant
    weights: str
    """As `radiodino.train.weights.load.load_weights` takes them; for Grad-CAM a fine-tuned classifier's file."""
    pictures: tuple[str, ...] = ("attention", "pca")
    count: int = 8
    """Images in each picture."""
    image_size: int | None = None
    """Side in pixels; None for 448 (attention, PCA), the size of the fine-tuning (Grad-CAM) and 224 (UMAP)."""
    attention_mass: float | None = None
    """Show of each attention map only the strongest patches that hold this share of it; None for all."""
    target: str = PREDICTED
    """The class that Grad-CAM explains: ``predicted``, or the name of one."""
    threshold: float = PAPER_THRESHOLD
    """Of Grad-CAM, a share of each map's maximum."""
    pca_foreground: str = "all"
    pca_threshold: float = 0.5
    """See `radiodino.train.explain.pca.patch_colours`."""
    umap_neighbours: int = 15
    umap_min_dist: float = 0.1
    umap_metric: str = "cosine"
    """See `radiodino.train.explain.umap_map.umap_coordinates`."""
    seed: int = 0
    """Of UMAP and of random weights."""
    batch_size: int = 16
    accelerator: str = "auto"
    """``auto``, ``cpu`` or ``cuda``."""
    checkpoint_key: str | None = None
    """Take a checkpoint's backbone under this key (``student``); None: the teacher's."""
    split: str | None = None
    """Of the data, where it says which images these are; None: all."""

    def __post_init__(self) -> None:
        if not self.pictures or not set(self.pictures) <= set(PICTURES):
            found = ", ".join(self.pictures) or "none"
            raise InputError(f"expected pictures among {', '.join(PICTURES)}, found {found}: change --pictures")
        for name, value in (("count", self.count), ("batch size", self.batch_size)):
            if value < 1:
                raise InputError(f"the {name} must be at least 1, not {value}")
        if self.accelerator not in ACCELERATORS:
            raise InputError(f"there is no accelerator '{self.accelerator}': choose one of {', '.join(ACCELERATORS)}")
        if self.seed < 0 or self.seed > 2**32 - 1:
            raise InputError(f"the seed must lie in 0 to {2**32 - 1}, not {self.seed}")
        if self.weights.lower().endswith(".onnx"):
            raise InputError(
                f"{self.weights} is an exported file, and attention and gradients are taken from a PyTorch network: "
                "give the checkpoint that it was exported from"
            )
        if "gradcam" in self.pictures and self.weights in ("published", "random"):
            raise InputError(
                f"Grad-CAM explains a fine-tuned classifier, and --weights {self.weights} holds none: give the "
                "classifier.pth of radiodino-train finetune or demo, or leave gradcam out of --pictures"
            )
        check_threshold(self.threshold)
        if self.attention_mass is not None:
            check_mass(self.attention_mass)
        check_foreground(self.pca_foreground, self.pca_threshold)
        check_layout(self.umap_neighbours, self.umap_min_dist, self.umap_metric)
        for size in (self.fine_size, self.embedding_size):
            self.variant.grid(size)
        require("train", "torch", "timm", "matplotlib", "sklearn", *(["umap"] if "umap" in self.pictures else []))

    @property
    def fine_size(self) -> int:
        """Of attention maps and patch colours, in pixels."""
        return _FINE if self.image_size is None else self.image_size

    @property
    def embedding_size(self) -> int:
        """Of the images that UMAP lays out, in pixels."""
        return _USUAL if self.image_size is None else self.image_size
