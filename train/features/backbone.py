"""A Radio DINO backbone with its weights as a source of embeddings (the CLS token after the final norm)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..weights.load import load_weights
from .device import choose_device
from .network import NetworkSource

if TYPE_CHECKING:
    from .open import SourceOptions

SIZE = 224
"""Side of the images in pixels where none is asked for (the model card's)."""


def open_backbone(text: str, options: SourceOptions) -> NetworkSource:
    """The backbone of ``options.variant`` with the weights that `load_weights` finds for `text`.

    With ``options.cut``, a size that is no multiple of the patch is taken as the official DINO code takes it: the
    patch embedding is a convolution whose stride is the patch, which leaves out the last rows and columns, and the
    position table is resized to the patches that are left (56 px at patch 16: 3 × 3 patches of the first 48 px).

    Raises:
        InputError: where the size is no multiple of the patch and ``cut`` is not set, or see `load_weights`.
        BackendError: see `choose_device`.
        WeightsError: see `load_weights`.
    """
    size = SIZE if options.image_size is None else options.image_size
    patch = options.variant.patch
    network_size = size // patch * patch if options.cut and size >= patch else size
    device = choose_device(options.accelerator)
    network, source = load_weights(
        options.variant,
        text,
        image_size=network_size,
        seed=options.seed,
        checkpoint_key=options.checkpoint_key,
    )
    return NetworkSource(
        network,
        name=" ".join(part for part in (options.variant.name, text, options.checkpoint_key) if part),
        size=options.variant.embedding_size,
        image_size=size,
        network_size=network_size,
        provenance={
            "kind": source.kind,
            "source": source.name,
            "sha256": source.sha256,
            "licence": source.licence,
            "detail": source.detail,
            "notice": source.notice,
            "variant": options.variant.name,
        },
        device=device,
        precision=options.precision or "fp32",
    )
