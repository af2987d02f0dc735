"""The pictures: what stands on them, that no text is cut off or hidden, and that no global state is touched."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

import matplotlib
from matplotlib.text import Text

from radiodino.runtime.errors import OutputError
from radiodino.train.explain.choice import ShownImages
from radiodino.train.explain.page import Heading, drawable, save_png, short_names, shortened
from radiodino.train.explain.pictures import attention_picture, grad_cam_picture, pca_picture, umap_picture

NAMES = ("set.zip/a/1.png", "set.zip/b/$x_1$ 中.dcm", "set.zip/c/a rather long name of an image, indeed.jpeg")
HEADING = Heading("A title of the picture", ("Radio DINO tiny", "weights $w$", "data set.zip"), "How to read it. " * 9)


def shown(count=3, channels=1, masks=True, size=32):
    random = np.random.default_rng(0)
    outlines = np.zeros((count, size, size), bool)
    outlines[0, 4:9, 4:12] = True
    outlines[1:2] = True
    names = tuple(NAMES[index % 3] if index < 3 else f"d/{index}.png" for index in range(count))
    pixels = random.integers(0, 256, (count, channels, size, size), np.uint8)
    return ShownImages(
        pixels, names, ("benign", "", "malignant")[:count] + ("",) * (count - 3), outlines if masks else None
    )


def attention(count=3, heads=3, kept=False, **options):
    maps = np.random.default_rng(1).dirichlet(np.ones(16), (count, heads)).reshape(count, heads, 4, 4) * 0.9
    return attention_picture(HEADING, shown(count, **options), maps, maps > 0.02 if kept else None)


def grad_cam(count=3, **options):
    maps = np.random.default_rng(1).random((count, 32, 32))
    maps[-1] = 0
    remarks = ["malignant\nprobability 0.93\nDice 0.123"] * count
    return grad_cam_picture(HEADING, shown(count, **options), maps, maps > 0.5, remarks)


def pca(count=3, **options):
    return pca_picture(HEADING, shown(count, **options), np.random.default_rng(1).random((count, 4, 4, 3), np.float32))


def umap(classes=3, label=lambda number: f"class {number}", stretch=(1, 1)):
    places = np.random.default_rng(1).normal(size=(40, 2)) * stretch
    return umap_picture(HEADING, places, [label(index % classes) for index in range(40)])


def texts(figure):
    return [found.get_text() for found in figure.findobj(Text) if found.get_text() and found.get_visible()]


EVERY = {
    "attention": attention,
    "attention of one image": lambda: attention(1),
    "attention of twelve heads": lambda: attention(2, 12),
    "the strongest patches": lambda: attention(kept=True),
    "colour": lambda: attention(channels=3, masks=False),
    "Grad-CAM": grad_cam,
    "Grad-CAM without masks": lambda: grad_cam(masks=False),
    "PCA": pca,
    "PCA of one image": lambda: pca(1),
    "PCA of seven images": lambda: pca(7, channels=3),
    "UMAP": umap,
    "UMAP of one class": lambda: umap(1, lambda _number: ""),
    "UMAP of many classes": lambda: umap(40, lambda number: f"a class with a rather long name, {number}"),
    "a wide UMAP of many classes": lambda: umap(40, lambda number: f"class {number}", (9, 1)),
    "a high UMAP of numbers": lambda: umap(12, str, (1, 9)),
    "a UMAP of one place": lambda: umap(stretch=(0, 0)),
}


@pytest.mark.parametrize("name", EVERY)
def test_texts_are_said_and_lie_on_the_page_and_not_on_each_other(name):
    figure = EVERY[name]()
    figure.draw_without_rendering()
    renderer, page = figure.canvas.get_renderer(), figure.bbox
    boxes = []
    for text in figure.findobj(Text):
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent(renderer)
            assert page.x0 <= box.x0 < box.x1 <= page.x1, text
            assert page.y0 <= box.y0 < box.y1 <= page.y1, text
            if text.get_bbox_patch() is None:  # numbers in a map may meet
                boxes.append((text, box))
    for place, (one, box) in enumerate(boxes):
        assert not [(one, other) for other, found in boxes[:place] if box.overlaps(found)]
    said = " ".join(texts(figure)).replace("\n", " ")
    assert "A title of the picture" in said
    assert "Radio DINO tiny · weights $w$" in said  # as typed, not as mathematics
    assert "How to read it." in said
    assert "Research use, not for diagnosis." in said


def test_rows_are_named_by_file_and_class_and_columns_by_what_they_are():
    said = texts(attention())
    assert {"image", "head 1", "head 2", "head 3", "mean", "% of attention"} <= set(said)
    assert "1.png\nbenign" in said
    assert "$x_1$ \\u4e2d.dcm" in "\n".join(said) or "$x_1$ 中.dcm" in "\n".join(said)
    said = texts(grad_cam())
    assert {"image", "Grad-CAM", "overlay", "explained", "share of the map's maximum", "mask"} <= set(said)
    assert "malignant\nprobability 0.93\nDice 0.123" in said
    assert "mask" not in texts(grad_cam(masks=False))


def test_a_heat_map_shows_the_numbers_it_was_given():
    maps = np.arange(16, dtype=float).reshape(1, 1, 4, 4) / 200
    cells = attention_picture(HEADING, shown(1), maps).axes
    (heat,) = [image for axes in cells for image in axes.images if axes is cells[1]]
    np.testing.assert_allclose(heat.get_array(), 100 * maps[0, 0])
    assert heat.get_interpolation() == "nearest"
    assert heat.get_extent() == [-0.5, 31.5, 31.5, -0.5]  # over the whole image, the first row at the top


def test_patches_that_are_not_kept_show_the_image():
    maps = np.full((1, 1, 2, 2), 0.2)
    kept = np.array([[[[True, False], [False, True]]]])
    axes = attention_picture(HEADING, shown(1), maps, kept).axes[1]
    assert len(axes.images) == 2
    assert axes.images[1].get_alpha().tolist() == [[1, 0], [0, 1]]


def test_the_map_has_a_legend_and_numbers_where_there_are_many_classes():
    assert {"class 0 (14)", "class 1 (13)", "class 2 (13)"} <= set(texts(umap()))
    said = texts(umap(12))
    assert "10  class 8 (3)" in said  # numbers by name: 0, 1, 10, 11, 2 ...
    assert "10" in said
    said = texts(umap(12, str))
    assert said.index("2 (4)") < said.index("10 (3)")  # whole numbers are their own, in their order
    assert not [text for text in texts(umap(1, lambda _number: "")) if "no label" in text]


def test_up_to_64_classes_differ_in_colour_or_marker():
    looks = {(line.get_color(), line.get_marker()) for line in umap(40).axes[0].lines}
    assert len(looks) == 40


def test_a_picture_is_a_png_of_200_dots_per_inch_with_the_disclaimer(tmp_path):
    figure = pca(1)
    save_png(figure, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG"
        assert image.info["Disclaimer"] == "Research use, not for diagnosis."
        assert image.size == tuple(int(inches * 200) for inches in figure.get_size_inches())
        assert round(image.info["dpi"][0]) == 200
    assert [path.name for path in tmp_path.iterdir()] == ["p.png"]
    with pytest.raises(OutputError, match="does not exist"):
        save_png(figure, tmp_path / "none" / "p.png")


def test_the_same_picture_has_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        save_png(pca(2), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_global_setting_is_touched_and_none_is_obeyed():
    before = dict(matplotlib.rcParams)
    expected = np.asarray(rendered(grad_cam(1)))
    assert dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.family": "serif", "figure.facecolor": "black", "text.color": "red"}):
        assert np.array_equal(np.asarray(rendered(grad_cam(1))), expected)


def rendered(figure):
    figure.canvas.draw()
    return figure.canvas.buffer_rgba()


def test_pyplot_is_never_imported():
    code = "import sys, radiodino.train.explain.pictures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_short_names_tell_images_apart():
    assert short_names(["s.zip/a/1.png", "s.zip/b/1.png", "s.zip/b/2.png"]) == ["a/1.png", "b/1.png", "2.png"]
    assert short_names(["x/a/1.png", "y/a/1.png"]) == ["x/a/1.png", "y/a/1.png"]
    assert short_names(["1.png"]) == ["1.png"]


def test_long_texts_lose_their_middle():
    assert shortened("0123456789", 10) == "0123456789"
    assert shortened("0123456789abc", 10) == "01234…9abc"
    assert len(shortened("x" * 99)) == 24


def test_letters_that_the_font_lacks_are_written_as_their_codes():
    assert drawable("ä→\n") == "ä→\n"
    assert drawable("中\t") == "\\u4e2d\\t"
