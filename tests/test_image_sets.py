from __future__ import annotations

import io
import threading

import numpy as np
import pytest

from radiodino.runtime.decode import decode
from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs import image_sets
from radiodino.runtime.inputs.listing import list_inputs

pytestmark = pytest.mark.usefixtures("here")  # inputs are typed relative to a folder of their own


def test_a_medmnist_set():
    random = np.random.default_rng(1)
    arrays = {
        f"{part}_images": random.integers(0, 256, (count, 6, 5), np.uint8)
        for part, count in (("train", 4), ("val", 2), ("test", 3))
    }
    marks = {f"{part}_labels": np.arange(count, dtype=np.uint8)[:, None] for part, count in (("train", 4), ("val", 2))}
    np.savez_compressed("set.npz", **arrays, **marks, unrelated=np.zeros(3))
    listing = list_inputs(["set.npz"])
    expected = {f"set.npz/{key}/{index}": array[index] for key, array in arrays.items() for index in range(len(array))}
    assert [item.name for item in listing] == list(expected)
    assert [item.label for item in listing] == ["0", "1", "2", "3", "0", "1", "", "", ""]
    for item in listing:
        np.testing.assert_array_equal(item.load(), expected[item.name])
    assert listing[0].file == "set.npz"


@pytest.mark.parametrize(
    ("shape", "dtype", "image_shape"),
    [
        ((3, 4, 5), np.uint8, (4, 5)),
        ((3, 4, 5, 1), np.uint8, (4, 5)),
        ((3, 4, 5, 3), np.uint8, (4, 5, 3)),
        ((3, 4, 5), np.uint16, (4, 5)),
        ((3, 4, 3), np.dtype(">u2"), (4, 3)),
        ((1, 1, 1), np.uint8, (1, 1)),
    ],
)
def test_plain_images(shape, dtype, image_shape):
    images = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    np.savez("set.npz", images=images)
    for index, item in enumerate(list_inputs(["set.npz"])):
        image = item.load()
        assert image.shape == image_shape
        np.testing.assert_array_equal(image, images[index].reshape(image_shape))
        assert len(list(decode(image))) == 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, -1], np.int64), ["3", "-1"]),
        (np.array([[0, 1, 1], [1, 0, 0]]), ["0 1 1", "1 0 0"]),
        (np.array(["benign", "bösartig"]), ["benign", "bösartig"]),
        (np.array([b"cat", b"\xff"]), ["cat", "\\xff"]),
        (np.array([0.5, 2.0], np.float32), ["0.5", "2.0"]),
        (np.array([True, False]), ["True", "False"]),
        (np.asfortranarray([[0, 1], [2, 3]]), ["0 1", "2 3"]),
    ],
)
def test_labels_become_text(values, expected):
    np.savez("set.npz", images=np.zeros((2, 4, 4), np.uint8), labels=values)
    assert [item.label for item in list_inputs(["set.npz"])] == expected


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": np.zeros((3, 4))}, "holds no image set: expected arrays train_images"),
        ({"images": np.zeros((3, 8, 8))}, "holds float64 values"),
        ({"images": np.zeros((3, 8, 8), np.int16)}, "holds int16 values"),
        ({"images": np.zeros((3, 8, 8, 8), np.uint8)}, r"values \(3, 8, 8, 8\)"),
        ({"images": np.zeros((3, 8), np.uint8)}, r"expected uint8 or uint16"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "none of these 0"),
        ({"images": np.asfortranarray(np.zeros((3, 8, 8), np.uint8))}, "ascontiguousarray"),
        ({"images": np.array([None, {}])}, "holds object values"),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.arange(2)}, "one label for each of 3 images"),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.int64(2)}, "one label for each of 3 images"),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.array([{}] * 3)}, "numbers or text"),
        ({"images": np.zeros((3, 8, 8), np.uint8), "labels": np.zeros((3, 9000))}, "one label for each"),
    ],
)
def test_what_is_no_image_set_is_refused(arrays, message):
    np.savez("set.npz", **arrays)
    with pytest.raises(InputError, match=message):
        list_inputs(["set.npz"])


def test_huge_images_of_a_set_are_refused(pack):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (9, 90000, 90000)})
    pack("set.npz", {"images.npy": header.getvalue()})
    with pytest.raises(InputError, match="takes more than 32 MiB"):
        list_inputs(["set.npz"])


def test_an_array_that_promises_more_than_it_holds_is_refused(pack):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (5, 8, 8)})
    pack("set.npz", {"images.npy": header.getvalue() + bytes(100)})
    with pytest.raises(InputError, match=r"does not hold the \(5, 8, 8\) values"):
        list_inputs(["set.npz"])


def test_a_damaged_array_is_refused(altered):
    np.savez("set.npz", images=np.full((3, 80, 80), 65, np.uint8))
    altered("set.npz", b"A" * 192, b"A" * 191 + b"X", 50)
    with pytest.raises(InputError, match=r"no readable \.npz file .*CRC"):
        list_inputs(["set.npz"])


def test_a_set_that_changes_is_unreadable(touch, unreadable):
    np.savez("set.npz", images=np.zeros((3, 8, 8), np.uint8))
    first, second, _ = list_inputs(["set.npz"])
    np.savez("set.npz", images=np.zeros((1, 8, 8), np.uint8))
    assert "changed" in unreadable(first)
    touch("set.npz")
    assert "changed" in unreadable(second)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_set_is_read_in_blocks_by_many_threads(monkeypatch, save):
    """Also out of order, back to the start, and from two arrays at once."""
    monkeypatch.setattr(image_sets, "BLOCK_BYTES", 1)  # blocks of 32 images
    random = np.random.default_rng(2)
    arrays = {
        key: random.integers(0, 65536, (count, 3, 4), np.uint16) for key, count in (("a_images", 100), ("b_images", 70))
    }
    save("set.npz", **arrays)
    listing = list_inputs(["set.npz"])
    wrong = []

    def read(order):
        for position in order:
            item = listing[position]
            _, key, index = item.name.split("/")
            if not np.array_equal(item.load(), arrays[key][int(index)]):
                wrong.append(item.name)

    orders = [range(170), range(169, -1, -9), range(3, 170), random.permutation(170)[:40], [99, 100, 99, 100, 0]]
    threads = [threading.Thread(target=read, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_set_larger_than_the_memory_it_takes():
    import tracemalloc

    np.savez_compressed("set.npz", images=np.zeros((1600, 256, 256), np.uint8))  # 100 MiB
    listing = list_inputs(["set.npz"])
    tracemalloc.start()
    assert sum(int(item.load().max()) for item in listing[::50]) == 0
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()


def test_the_real_set(data_dir):
    path = str(data_dir / "pneumoniamnist_28.npz")
    listing = list_inputs([path])
    with np.load(path) as arrays:
        assert len(listing) == sum(len(arrays[key]) for key in arrays if key.endswith("images"))
        assert listing[12].name == f"{path}/train_images/12"
        assert listing[12].label == str(arrays["train_labels"][12, 0])
        np.testing.assert_array_equal(listing[-1].load(), arrays["test_images"][-1])
