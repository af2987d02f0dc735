from __future__ import annotations

import dataclasses

import pytest

from radiodino.runtime.errors import InputError
from radiodino.runtime.variants import VARIANTS, get_variant


def test_the_family_is_complete():
    assert list(VARIANTS) == ["tiny", "tiny-sp", "small", "small-sp", "base", "dinov2-small"]


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_dimensions_fit_together(variant):
    assert variant.embedding_size == 64 * variant.heads
    assert variant.grid(224) * variant.patch == 224
    with pytest.raises(dataclasses.FrozenInstanceError):
        variant.name = "other"


@pytest.mark.parametrize(
    ("name", "size", "nearest"),
    [
        ("tiny", 225, "224 or 240"),
        ("dinov2-small", 225, "224 or 238"),
        ("tiny", 9, "use 16"),
        ("tiny", -16, "use 16"),
        ("tiny", 0, "use 16"),
    ],
)
def test_other_sizes_name_the_nearest(name, size, nearest):
    with pytest.raises(InputError, match=nearest):
        VARIANTS[name].grid(size)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InputError, match="tiny, tiny-sp, small"):
        get_variant("huge")
