"""Pictures for people: what of the image stays as it was, and what stands below it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radiodino.runtime.pictures.display import LEAST, MOST, Display
from radiodino.runtime.pictures.explanation_picture import explanation_picture
from radiodino.runtime.pictures.heat_overlay import colours, draw_heat
from radiodino.runtime.pictures.legend import HeatScale, ScaleBar, Text, with_legend
from radiodino.runtime.pictures.lettering import drawable, wrapped
from radiodino.runtime.pictures.mask_overlay import COLOUR, draw_mask
from radiodino.runtime.pictures.scale_bar import length_text, round_length
from radiodino.runtime.pictures.segmentation_picture import segmentation_picture
from radiodino.runtime.pictures.wording import area_text, class_parts, closing_parts, percent
from radiodino.runtime.tasks.classification import LARGEST, THRESHOLD, Classification
from radiodino.runtime.tasks.explanation import Explanation
from radiodino.runtime.tasks.segmentation import Segmentation

RANDOM = np.random.default_rng(0)


def classified(decided_by=LARGEST) -> Classification:
    numbers = np.array([0.3, 0.7], np.float32)
    return Classification("malignant", 1, ("benign", "malignant"), numbers, numbers, numbers, decided_by)


def segmented(mask, **changes) -> Segmentation:
    plain = Segmentation("lesion", mask, mask.astype(np.float32), 0.5, float(mask.mean()), None, None, None, None)
    return dataclasses.replace(plain, **changes)


def grey(height: int, width: int) -> Image.Image:
    return Image.fromarray(RANDOM.integers(0, 256, (height, width), np.uint8))


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_a_picture_is_large_enough_to_read_and_no_larger_than_needed(height, width):
    display = Display((height, width))
    longest = max(display.shown)
    assert LEAST <= longest <= MOST
    if LEAST <= max(height, width) <= MOST:
        assert display.shown == (width, height)
    elif max(height, width) < LEAST:
        assert display.shown == (width * int(display.scale), height * int(display.scale))


def test_the_image_is_left_as_it_is():
    image = grey(600, 550)
    mask = np.zeros((600, 550), bool)
    mask[200:300, 100:200] = True
    drawn = np.asarray(segmentation_picture(image, segmented(mask)).crop((0, 0, 550, 600)))
    shown = np.repeat(np.asarray(image)[..., None], 3, 2)
    away = np.ones_like(mask)
    away[190:310, 90:210] = False
    assert np.array_equal(drawn[away], shown[away])
    assert np.array_equal(drawn[199, 150], COLOUR)  # the outline lies outside of the mask
    inside = drawn[205:295, 105:195].astype(int) - shown[205:295, 105:195]
    assert np.abs(inside).max() <= 0.18 * 255 + 1  # and through the tint the image is seen


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (40, 64), (600, 500), (2500, 40)])
def test_every_size_and_mode_can_be_drawn(mode, size):
    mask = RANDOM.random(size) > 0.5
    image = grey(*size).convert(mode)
    picture = segmentation_picture(image, segmented(mask, spacing=(0.1, 0.2), area_mm2=3.0))
    assert picture.mode == "RGB"
    assert picture.width >= Display(size).shown[0]
    assert picture.height > Display(size).shown[1]
    heat = Explanation(
        mask.astype(np.float32), "cam", "malignant", np.zeros((2, 2), np.float32), "scaled", classified()
    )
    assert explanation_picture(image, heat, spacing=(0.1, 0.2)).width >= 2 * Display(size).shown[0]


def test_a_mask_that_marks_nothing_changes_nothing():
    image = grey(600, 600).convert("RGB")
    assert np.array_equal(np.asarray(draw_mask(image, np.zeros((600, 600), bool))), np.asarray(image))


def test_a_lesion_is_not_lost_by_shrinking():
    mask = np.zeros((8000, 100), bool)
    mask[4000, 50] = True
    assert Display(mask.shape).mask(mask).any()


def test_heat_of_zero_shows_the_image():
    image = grey(20, 30).convert("RGB")
    heat = np.zeros((20, 30), np.float32)
    heat[:, 15:] = 1
    drawn = np.asarray(draw_heat(image, heat))
    assert np.array_equal(drawn[:, :15], np.asarray(image)[:, :15])
    assert not np.array_equal(drawn[:, 15:], np.asarray(image)[:, 15:])


def test_hotter_is_lighter():
    light = colours(np.linspace(0, 1, 50, dtype=np.float32)) @ [0.299, 0.587, 0.114]
    assert (np.diff(light) > 0).all()


@given(longest=st.floats(1e-3, 1e4))
def test_a_scale_bar_has_a_round_length(longest):
    length = round_length(longest)
    assert 0.4 * longest - 1e-9 <= length <= longest
    assert f"{length:.0e}"[0] in "125"


@pytest.mark.parametrize(
    ("millimetres", "text"), [(0.5, "0.5 mm"), (5, "5 mm"), (10, "1 cm"), (20, "2 cm"), (200, "20 cm")]
)
def test_lengths_are_said_in_mm_and_cm(millimetres, text):
    assert length_text(millimetres) == text


@pytest.mark.parametrize("spacing", [0.05, 0.2, 0.66, 1.0])
@pytest.mark.parametrize("size", [(128, 128), (600, 800), (3000, 2500)])
def test_the_bar_is_as_long_as_it_says(spacing, size):
    """Counted in the picture: the white line, times the width of its pixels."""
    display = Display(size)
    picture = display.image(Image.new("L", size[::-1]))
    below = np.asarray(with_legend([picture], [ScaleBar(spacing / display.scale)]))[picture.height :]
    white = (below == 240).all(-1)
    rows = ["".join("#" if pixel else " " for pixel in row) for row in white]
    length = max(len(row.strip().split(" ")[0]) for row in rows) * spacing / display.scale
    widest = min(max(picture.width, 480) - 28, picture.width)
    assert length == pytest.approx(round_length(0.4 * widest * spacing / display.scale), rel=0.02)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.5, "50.0 %"), (1e-5, "< 0.1 %"), (0.9999, "> 99.9 %"), (0.123, "12.3 %")],
)
def test_probabilities_for_people(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 mm²"), (1.234, "1.23 mm²"), (99, "99 mm²"), (123.4, "1.23 cm²"), (1e6, "10000 cm²")]
)
def test_areas_for_people(value, text):
    assert area_text(value) == text


def test_the_legend_says_class_threshold_notice_and_research_use():
    said = [part.text for part in class_parts(classified(THRESHOLD))]
    assert said[0] == "malignant  70.0 %"
    assert said[1] == "benign 30.0 %; malignant is said from its threshold on"
    closing = [(part.text, part.colour) for part in closing_parts("of this image: x", "random weights: y")]
    assert [text for text, _ in closing] == [
        "Of this image: x",
        "Research use only, not for diagnosis",
        "Random weights: y",
    ]
    red = closing[2][1]
    assert red[0] > 1.5 * max(red[1:])
    assert [part.text for part in closing_parts(None, None)] == ["Research use only, not for diagnosis"]


def test_the_notice_is_in_the_picture():
    mask = np.zeros((512, 512), bool)
    with_notice = segmentation_picture(grey(512, 512), segmented(mask, notice="demonstration"))
    without = segmentation_picture(grey(512, 512), segmented(mask))
    assert with_notice.height > without.height


def test_text_fits_its_width():
    text = "demonstration weights: " * 5 + "W" * 300
    lines = wrapped(text, 16, 300)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    from PIL import ImageFont

    font = ImageFont.load_default(16)
    assert max(font.getlength(line) for line in lines) <= 300
    assert wrapped("", 16, 300) == [""]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("mm²", "mm2"),
        ("bénin", "benin"),
        ("Maß – x", "Mass - x"),
        ("ж", "\\u0436"),
        ("plain", "plain"),
        ("cafe\u0301", "cafe"),
    ],
)
def test_letters_that_the_font_lacks_are_written_otherwise(text, drawn):
    assert drawable(text) == drawn


def test_all_parts_can_be_drawn_narrow():
    parts = [Text("x", large=True, swatch=COLOUR), ScaleBar(0.001), ScaleBar(1000.0), HeatScale()]
    assert with_legend([Image.new("RGB", (1, 1))], parts).width == 480
