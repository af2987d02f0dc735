"""The sources that one command is to compare, as they were typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import get_variant

from .open import FORMS, TIMM, SourceOptions, has_fixed_size, is_backbone, open_source

DEFAULTS = SourceOptions()


@dataclass(frozen=True)
class SourceRequest:
    """Which sources, and how they are opened."""

    weights: tuple[str, ...]
    """Texts of `open_source`."""
    variants: tuple[str, ...] = ("tiny",)
    """Of Radio DINO backbones: one for all `weights`, or one for each."""
    options: SourceOptions = DEFAULTS
    """Of all; the variant in it is replaced."""
    batch_size: int | None = None
    """Images per pass; None: see `extract_features`."""

    def check(self) -> None:
        """See, before anything is opened, that the parts fit.

        Raises:
            InputError: where nothing is named, numbers of weights and variants do not fit, a variant is unknown, the
                same is asked for twice, or ``pretrained`` or a checkpoint's key is given that nothing has a use for.
        """
        if not self.weights:
            raise InputError(f"name what to evaluate with --weights: {FORMS}")
        if len(self.variants) not in (1, len(self.weights)):
            raise InputError(
                f"{len(self.variants)} variants were given for {len(self.weights)} weights: give one --variant for "
                "all, or one for each --weights in their order"
            )
        pairs = self._pairs()
        for name, variant in pairs:
            get_variant(variant)
            if pairs.count((name, variant)) > 1:
                raise InputError(f"--weights {name} was given twice: leave one out")
        if self.options.pretrained and not any(name.startswith(TIMM) for name in self.weights):
            raise InputError(f"--pretrained is for --weights {' and '.join(TIMM)} alone: leave it out")
        if self.options.checkpoint_key is not None and not any(is_backbone(name) for name in self.weights):
            raise InputError("--checkpoint-key is for checkpoints of Radio DINO alone: leave it out")

    def each(self) -> list[tuple[str, SourceOptions]]:
        """For each source its text and options, as `open_source` takes them.

        Raises:
            InputError: where a variant is unknown.
        """
        return [(name, replace(self.options, variant=get_variant(variant))) for name, variant in self._pairs()]

    def refuse_sizes(self, sizes: Sequence[int]) -> None:
        """See, before hours of work, that sources of one fixed size (exported files, pixels) are asked for no other.

        Raises:
            InputError: where one is.
            RadioDinoError: where such a source cannot be opened.
        """
        for name, options in self.each():
            if has_fixed_size(name):
                for size in sizes:
                    open_source(name, replace(options, image_size=size))

    def describe(self) -> dict[str, Any]:
        """Every setting, JSON-able."""
        options = self.options
        return {
            "weights": list(self.weights),
            "variants": list(self.variants),
            "image_size": options.image_size,
            "accelerator": options.accelerator,
            "precision": options.precision,
            "pretrained": options.pretrained,
            "checkpoint_key": options.checkpoint_key,
            "seed": options.seed,
            "batch_size": self.batch_size,
        }

    def _pairs(self) -> list[tuple[str, str]]:
        variants = self.variants * len(self.weights) if len(self.variants) == 1 else self.variants
        return list(zip(self.weights, variants, strict=True))
