"""Which images are shown, and how they are decoded and fed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("torch")

import torch

from radiodino.runtime.errors import InputError
from radiodino.runtime.inputs.listing import list_inputs
from radiodino.train.explain.choice import chosen_images, spread
from radiodino.train.explain.network_input import batches, network_input


def test_classes_take_turns_and_each_is_taken_from_all_over_its_list():
    labels = ["b"] * 8 + ["a"] * 2
    assert list(spread(labels)) == [8, 0, 9, 4, 2, 6, 1, 5, 3, 7]


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_each_image_comes_once_and_the_first_are_as_balanced_as_can_be(labels):
    order = list(spread(labels))
    assert sorted(order) == list(range(len(labels)))
    for count in range(1, len(labels) + 1):
        taken = [labels[index] for index in order[:count]]
        for one in set(labels):
            spare = labels.count(one) > taken.count(one)
            assert not spare or taken.count(one) >= max(taken.count(other) for other in set(labels)) - 1


@pytest.fixture
def folder(here):
    for number, (label, mode) in enumerate([("a", "L"), ("a", "L"), ("b", "L"), ("b", "L")]):
        (here / "d" / label).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 30), np.uint8)
        Image.fromarray(pixels).convert(mode).save(here / "d" / label / f"{number}.png")
    return list_inputs(["d"])


def test_images_are_decoded_as_the_model_card_resizes_them(folder):
    found = chosen_images(folder, [item.label for item in folder], 32, 3)
    assert found.names == ("d/a/0.png", "d/a/1.png", "d/b/2.png")
    assert found.labels == ("a", "a", "b")
    assert found.pixels.shape == (3, 1, 32, 32)
    with Image.open("d/b/2.png") as image:
        expected = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    assert np.array_equal(found.pixels[2, 0], expected)
    assert found.masks is None
    assert len(chosen_images(folder, [item.label for item in folder], 32, 99)) == 4


def test_colour_makes_all_of_three_channels(folder):
    Image.new("RGB", (10, 10), (10, 20, 30)).save("d/b/2.png")
    found = chosen_images(folder, [item.label for item in folder], 16, 4)
    assert found.pixels.shape == (4, 3, 16, 16)
    assert found.pixels[2, :, 0, 0].tolist() == [10, 20, 30]
    assert np.array_equal(found.pixels[0, 0], found.pixels[0, 2])


def test_a_broken_image_is_named_and_the_next_taken(folder, here):
    (here / "d" / "a" / "0.png").write_bytes(b"broken")
    found = chosen_images(folder, [item.label for item in folder], 16, 3)
    assert found.names == ("d/a/1.png", "d/b/2.png", "d/b/3.png")
    assert list(found.unreadable) == ["d/a/0.png"]


def test_of_several_frames_the_first_is_taken_and_said(here):
    frames = [Image.new("L", (8, 8), shade) for shade in (7, 9)]
    frames[0].save("s.tiff", save_all=True, append_images=frames[1:])
    found = chosen_images(list_inputs(["s.tiff"]), [""], 8, 1)
    assert found.names == ("s.tiff#1",)
    assert (found.pixels == 7).all()


def test_what_was_decided_in_decoding_is_kept(here):
    Image.fromarray(np.full((8, 8), 900, np.uint16)).save("faint.png")
    found = chosen_images(list_inputs(["faint.png"]), [""], 8, 1)
    assert "almost black" in found.notices["faint.png"]


def test_nothing_to_show_is_refused(here):
    (here / "x.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="none of the 1 images"):
        chosen_images(list_inputs(["x.png"]), [""], 8, 1)
    with pytest.raises(InputError, match="at least 1, not 0"):
        chosen_images(list_inputs(["x.png"]), [""], 8, 0)


def test_the_networks_input_is_torchvisions():
    transforms = pytest.importorskip("torchvision.transforms")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for stack in (pixels, pixels[:, :1]):
        expected = torch.stack(
            [normalise(transforms.ToTensor()(np.repeat(one, 4 - len(one), 0)[:3].transpose(1, 2, 0))) for one in stack]
        )
        assert torch.equal(network_input(stack), expected)


def test_batches_hold_all_in_order():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 4, 4), np.uint8)
    told = []
    found = list(batches(pixels, "cpu", 2, lambda done, total: told.append((done, total))))
    assert [len(one) for one in found] == [2, 2, 1]
    assert torch.equal(torch.cat(found), network_input(pixels))
    assert told == [(2, 5), (4, 5), (5, 5)]
    with pytest.raises(InputError, match="at least 1"):
        next(batches(pixels, "cpu", 0))


@pytest.mark.parametrize("pixels", [np.zeros((1, 3, 4, 4), np.float32), np.zeros((3, 4, 4), np.uint8)])
def test_other_arrays_are_refused(pixels):
    with pytest.raises(InputError, match="uint8"):
        network_input(pixels)
