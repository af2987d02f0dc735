from __future__ import annotations

import os
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodino.runtime.errors import InputError, UnreadableImageError
from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


def test_an_archive_that_vanishes_makes_its_images_unreadable(pack, unreadable):
    pack("s.zip", {"1.png": b"x"})
    np.savez("n.npz", images=np.zeros((2, 4, 4), np.uint8))
    listing = list_inputs(["s.zip", "n.npz"])
    os.remove("s.zip")
    os.remove("n.npz")
    assert [("gone" in unreadable(item) or "damaged" in unreadable(item)) for item in listing] == [True] * 3


@pytest.mark.parametrize("name", ["bad.zip", "bad.npz", "BAD.ZIP"])
def test_what_is_no_archive_is_an_error_of_the_input(name, touch):
    touch(name)
    with pytest.raises(InputError, match=r"no readable .*(pack|save) it again"):
        list_inputs([name])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_never_raises_anything_else(tmp_path_factory, data, pack, png):
    """Bytes are changed or cut anywhere in a zip archive and in an image set."""
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / data.draw(st.sampled_from(["s.zip", "s.npz"]))
    if path.suffix == ".zip":
        pack(str(path), {"a/1.png": png(1), "b/ü.png": png(2), "3": b"x" * 30})
    else:
        np.savez_compressed(path, images=np.arange(60, dtype=np.uint8).reshape(5, 3, 4), labels=np.arange(5))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])
    with suppress(InputError):
        for item in list_inputs([str(path)]):
            with suppress(UnreadableImageError):
                item.load()
