"""The Radio DINO family as one table, readable without PyTorch.

Sources: the paper's Tables 1 and 2 (Zedda et al., Computers in Biology and Medicine 195, 2025) and the model card.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Variant:
    """One member of the family: what it is called, how it is built, where its weights are published."""

    name: str
    paper_name: str
    embedding_size: int
    depth: int
    heads: int
    patch: int
    parameters: float
    """Backbone parameters without a head, in millions (the paper's Table 2 counts slightly differently)."""
    layer_scale: bool
    """Whether each residual branch is scaled by a learned vector (DINOv2)."""
    position_interpolation: str
    """How the position table is resized off 224 px: ``timm`` (bicubic with antialias, as timm does for the hub's
    models) or ``dino`` (bicubic by a scale factor with the +0.1 offset, as DINO and DINOv2 do in training)."""
    published: str | None
    """Where the authors publish the weights: ``hf_hub:REPOSITORY``, ``gdrive:FILE_ID``, or None where no
    published source is known."""
    licence: str | None
    """The licence stated at that source. Stated licences conflict between sources: this records, it decides nothing."""

    def grid(self, image_size: int) -> int:
        """Patches along one side of a square image of `image_size` pixels.

        Raises:
            InputError: where the size is not a positive multiple of the patch.
        """
        if image_size >= self.patch and image_size % self.patch == 0:
            return image_size // self.patch
        below = max(0, image_size // self.patch * self.patch)
        nearest = [size for size in (below, below + self.patch) if size >= self.patch]
        raise InputError(
            f"image size {image_size} is not a multiple of the patch ({self.patch} px) of '{self.name}': "
            f"use {' or '.join(str(size) for size in nearest)}"
        )


# fmt: off
_FAMILY = (
    #       name            paper's name           dim  depth heads patch params layer_scale position
    Variant("tiny",         "Radio DINO tiny",     192, 12,   3,    16,   5.5,   False,      "dino",
            "gdrive:1Z-tczdk9SFFZQpD982chH3VUTEjTdaIf", "MIT (github.com/Snarci/Radio-DINO)"),
    Variant("tiny-sp",      "Radio DINO tiny sp",  192, 12,   3,    8,    5.5,   False,      "dino", None, None),
    Variant("small",        "Radio DINO small",    384, 12,   6,    16,   21.7,  False,      "timm",
            "hf_hub:Snarcy/RadioDino-s16", "CC BY 4.0 (model card)"),
    Variant("small-sp",     "Radio DINO small sp", 384, 12,   6,    8,    21.7,  False,      "timm",
            "hf_hub:Snarcy/RadioDino-s8", "CC BY 4.0 (model card)"),
    Variant("base",         "Radio DINO base",     768, 12,   12,   16,   85.8,  False,      "timm",
            "hf_hub:Snarcy/RadioDino-b16", "CC BY 4.0 (model card)"),
    Variant("dinov2-small", "Radio DINOv2",        384, 12,   6,    14,   21.6,  True,       "dino", None, None),
)
# fmt: on

VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _FAMILY}


def get_variant(name: str) -> Variant:
    """The variant called `name`.

    Raises:
        InputError: where there is none, naming those there are.
    """
    try:
        return VARIANTS[name]
    except KeyError:
        raise InputError(f"there is no variant '{name}': choose one of {', '.join(VARIANTS)}") from None
