"""Exported files beside their PyTorch original on held-out images: figures, limits, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytest.importorskip("timm")
sklearn_metrics = pytest.importorskip("sklearn.metrics")

import typer  # noqa: E402

from radiodino.benchmarks import task_accuracy  # noqa: E402
from radiodino.benchmarks.task_answers import Figures, answers, figures, joined  # noqa: E402
from radiodino.benchmarks.task_contestants import (  # noqa: E402
    common_original,
    compared,
    contestants_of,
    the_original,
)
from radiodino.benchmarks.task_limits import LIMITS, Limits, broken  # noqa: E402
from radiodino.benchmarks.task_report import document_of, recorded, table_of  # noqa: E402
from radiodino.benchmarks.task_samples import (  # noqa: E402
    Sample,
    further_sample,
    labelled_sample,
    masked_sample,
)
from radiodino.export import pipeline  # noqa: E402
from radiodino.export.pipeline import export_model  # noqa: E402
from radiodino.export.recorded_original import recorded_info  # noqa: E402
from radiodino.export.settings import ExportSettings  # noqa: E402
from radiodino.export.verify import tolerance_of  # noqa: E402
from radiodino.runtime import InputError, Model, console  # noqa: E402
from radiodino.runtime.model_file import read_model_file, seal  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.data.listing import list_data  # noqa: E402
from radiodino.train.data.split_manifest import write_splits  # noqa: E402
from radiodino.train.data.splits import SplitSettings  # noqa: E402
from radiodino.train.segment.predict import overlaps  # noqa: E402

CLASSES = ("benign", "malignant", "normal")
SPLIT = SplitSettings((0.4, 0.2, 0.4), 3, r"([a-z]+_[0-9]+)\.png$")
SPLIT_OPTIONS = ("--fractions", "0.4,0.2,0.4", "--split-seed", "3", "--group", SPLIT.group)


# Files and images


@pytest.fixture(scope="module", autouse=True)
def _toy_in_the_family(toy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "toy", toy)
        yield


@pytest.fixture(scope="module")
def heads(_toy_in_the_family, tmp_path_factory):
    """Checkpoints of a classifier and of a segmenter, as those of toy-tasks.onnx."""
    file = Path(__file__).parent / "data" / "make_toy.py"
    spec = importlib.util.spec_from_file_location("make_toy", file)
    make_toy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_toy)
    return make_toy.write_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def files(toy, heads, tmp_path_factory):
    """An fp32 and an fp16 file of both heads, of one trace."""
    folder, graph, trace = tmp_path_factory.mktemp("files"), [], pipeline.trace

    def traced(*arguments):
        if not graph:
            graph.append(trace(*arguments).SerializeToString())
        return onnx.load_from_string(graph[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "trace", traced)
        for precision in ("fp32", "fp16"):
            settings = ExportSettings(
                toy, heads, task="classify+segment", precision=precision, output=folder / f"{precision}.onnx"
            )
            export_model(settings)
    return [folder / "fp32.onnx", folder / "fp16.onnx"]


def drawn(random: np.random.Generator, shape: tuple[int, ...]) -> Image.Image:
    """Noise of a brightness and contrast of its own."""
    return Image.fromarray(np.clip(random.normal(random.uniform(20, 230), random.uniform(2, 90), shape), 0, 255)
                           .astype(np.uint8))  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Folders ``classes`` (20 of each class, one in colour), ``lesions`` (20 with masks) and ``other``."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(4)
    for name in CLASSES:
        (folder / "classes" / name).mkdir(parents=True)
        for number in range(20):
            shape = (50 + number, 70) if (name, number) != ("benign", 7) else (60, 60, 3)
            drawn(random, shape).save(folder / "classes" / name / f"{name}_{number:03d}.png")
    for part in ("images", "masks"):
        (folder / "lesions" / part).mkdir(parents=True)
    for number in range(20):
        name = f"{'benign' if number % 4 else 'normal'}_{number:03d}.png"
        drawn(random, (80, 60)).save(folder / "lesions" / "images" / name)
        mask = np.zeros((80, 60), np.uint8)
        if number % 4:
            mask[10 : 30 + number, 5:40] = 255
        Image.fromarray(mask).save(folder / "lesions" / "masks" / name)
    (folder / "other").mkdir()
    for number in range(3):
        drawn(random, (40, 40)).save(folder / "other" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def labelled(pictures):
    return labelled_sample([str(pictures / "classes")], 64, CLASSES, SPLIT)


@pytest.fixture(scope="module")
def masked(pictures):
    return masked_sample([str(pictures / "lesions")], 64, SPLIT)


@pytest.fixture(scope="module")
def rows(files, heads, labelled, masked):
    """The original, and both files in each engine and arithmetic."""
    original, infos = common_original(files, heads)
    contestants = [the_original(original, infos[0])]
    for file, info in zip(files, infos, strict=True):
        contestants += contestants_of(file, info.precision)
    return compared(contestants, [labelled, masked], infos[0])


@pytest.fixture
def measured(command, refused):
    """Runs the command."""

    def main():
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(task_accuracy.main)
        console.run(app)

    def run(*arguments, refuse=False):
        return (refused if refuse else command)(main, *arguments)

    return run


# The images


def test_what_is_held_out_is_what_the_trainings_hold_out(labelled, masked, pictures, tmp_path):
    assert len(labelled) == 24
    assert [labelled.labels.count(name) for name in CLASSES] == [8, 8, 8]
    assert [CLASSES[target] for target in labelled.targets] == list(labelled.labels)
    assert len(masked) == 8
    assert "24 test images of classes (split seeded and stratified, 0.4/0.2/0.4, seed 3, grouped" in labelled.origin
    assert "8 test images with masks of lesions, 6 of them with a lesion (split seeded" in masked.origin
    # A manifest of the same split names the same images, whatever the options say.
    listing, _ = list_data([str(pictures / "classes")]).completed(
        fractions=SPLIT.fractions, seed=SPLIT.seed, group=SPLIT.group
    )
    write_splits(listing, tmp_path / "splits.csv", overwrite=False)
    again = labelled_sample([str(tmp_path / "splits.csv")], 64, CLASSES, SplitSettings())
    assert [Path(name).name for name in again.names] == [Path(name).name for name in labelled.names]
    assert "as the data set or manifest says" in again.origin


def test_networks_are_fed_what_the_runtime_makes_of_the_images_themselves(labelled, masked, pictures, files):
    preprocess = Preprocessor(recorded_info(files[0]).preprocessing)
    for sample in (labelled, masked, further_sample([str(pictures / "other")], 64)):
        stored = list(sample.images(sample.places))
        for name, image in zip(sample.names, stored, strict=True):
            assert np.array_equal(preprocess(image), preprocess(Image.open(name))), name
    colour = further_sample([str(pictures / "classes" / "benign" / "benign_007.png")], 64)
    (image,) = colour.images(colour.places)
    assert image.mode == "RGB"
    assert np.array_equal(preprocess(image), preprocess(Image.open(colour.names[0])))


# The figures


def test_every_file_in_every_engine_beside_the_original(rows):
    told = {(row.contestant.file, row.contestant.engine.partition(" ")[0], row.contestant.compute) for row in rows}
    assert ("", "PyTorch", "fp32") in told
    assert {("fp32.onnx", engine, "fp32") for engine in ("onnxruntime", "openvino")} <= told
    assert {("fp16.onnx", engine, "fp32") for engine in ("onnxruntime", "openvino")} <= told
    assert all(compute == "fp32" for file, _, compute in told if file == "fp32.onnx")
    # In bf16 a random head may say another class, which is what the limits are for.
    assert [row.broken for row in rows if row.contestant.compute != "bf16" and row.broken] == []
    assert all(row.figures.images == 24 and row.figures.compared == 32 for row in rows)
    first = rows[0].figures
    assert first.clear > 24  # enough of them are clear for the comparison to say something
    assert (first.same_class, first.class_error) == (first.clear, 0)
    assert (first.original_dice, first.smallest_dice, first.mask_error) == (1, 1, 0)
    halves = [row.figures for row in rows if row.contestant.file == "fp16.onnx"]
    assert all(half.class_error > 0 for half in halves)


def test_figures_are_those_of_sklearn_on_the_answers_of_the_runtime(rows, labelled, files):
    model = Model.load(files[0], backend="onnxruntime")
    said = list(model.classify([Image.open(name) for name in labelled.names]))
    row = next(row for row in rows if row.contestant.file == "fp32.onnx" and "onnxruntime" in row.contestant.engine)
    truth = list(labelled.labels)
    assert row.figures.accuracy == sklearn_metrics.accuracy_score(truth, [one.label for one in said])
    assert row.figures.f1 == pytest.approx(
        sklearn_metrics.f1_score(truth, [one.label for one in said], average="macro", zero_division=0)
    )
    scores = torch.softmax(torch.tensor(np.stack([one.logits for one in said]), dtype=torch.float64), dim=1)
    assert row.figures.auc == pytest.approx(
        sklearn_metrics.roc_auc_score(truth, scores.numpy(), multi_class="ovr", labels=list(CLASSES)), abs=1e-6
    )
    assert np.allclose(row.answers.probabilities[:24], np.stack([one.probabilities for one in said]), atol=1e-6)


def test_masks_are_measured_as_the_training_measures_them(rows, masked, files, heads):
    original, (info, _) = common_original(files, heads)

    class Pairs:
        pixels, masks = masked.pixels, masked.masks

    threshold = info.segmenter.threshold
    found = overlaps(original.segmenter, Pairs, masked.places, (threshold,), torch.device("cpu"))
    lesions = np.array([masked.masks[place].any() for place in masked.places])
    truth = rows[0].figures.truth
    assert truth["lesions"] == {
        "images": 6,
        "dice": pytest.approx(found.dice[0][lesions].mean(), abs=1e-4),
        "iou": pytest.approx(found.iou[0][lesions].mean(), abs=1e-4),
    }
    assert truth["all"]["dice"] == pytest.approx(found.dice[0].mean(), abs=1e-4)
    assert 0 < truth["lesions"]["dice"] < 1
    # The mask of the hand is that of the file, resized to the nearest pixel.
    name = next(name for name, lesion in zip(masked.names, lesions, strict=True) if lesion)
    mask = Image.open(name.replace("/images/", "/masks/")).resize((64, 64), Image.Resampling.NEAREST)
    assert np.array_equal(masked.masks[masked.places[masked.names.index(name)]] > 0, np.asarray(mask) > 0)


def some_answers(marks, wanted, threshold=0.5):
    """Of masks that hold these probabilities, against the original's."""
    found, original = ({"mask": np.array(values, np.float32)} for values in (marks, wanted))
    return answers(found, original, threshold, None)


def test_masks_against_the_originals_pixel_by_pixel():
    ones, zeros = np.ones((2, 2)), np.zeros((2, 2))
    half = np.array([[0.5, 0.5], [0.25, 0.25]])  # a pixel belongs to the mask from the threshold on
    found = joined([some_answers([half], [ones]), some_answers([zeros, zeros], [zeros, ones])])
    sample = Sample("further", np.empty((3, 1, 2, 2), np.uint8), np.arange(3), ("a", "b", "c"), ("",) * 3, "", ())
    came = figures(found, found, [sample], 1e-3)
    assert found.marked.tolist() == [2, 0, 0]
    assert found.original_marked.tolist() == [4, 0, 4]
    assert came.original_dice == 2 * 2 / (2 + 8)
    assert (came.smallest_dice, came.mask_error, came.compared) == (0, 1, 3)
    assert (came.truth, came.accuracy, came.clear) == (None, None, None)
    nothing = some_answers([zeros], [zeros])
    assert figures(nothing, nothing, [replace(sample, places=np.arange(1))], 1e-3).original_dice is None


def test_classes_count_where_the_original_is_clear_alone():
    logits = np.zeros((3, 2), np.float32)
    wanted = np.array([[0.5004, 0.4996], [0.6, 0.4], [0.2, 0.8]], np.float32)
    found = np.array([[0.4, 0.6], [0.4, 0.6], [0.2, 0.8]], np.float32)
    pair = [
        answers({"logits": logits, "probabilities": own}, {"logits": logits, "probabilities": wanted}, None, None)
        for own in (found, wanted)
    ]
    sample = Sample("further", np.empty((3, 1, 2, 2), np.uint8), np.arange(3), ("a", "b", "c"), ("",) * 3, "", ())
    came = figures(*pair, [sample], 1e-3)
    assert (came.clear, came.same_class) == (2, 1)
    assert came.class_error == pytest.approx(0.2)
    assert figures(*pair, [sample], 1e-4).clear == 3


# The limits


def test_limits_are_those_that_were_promised():
    assert {key: (limits.class_error, limits.dice, limits.same_class) for key, limits in LIMITS.items()} == {
        ("fp32", "fp32"): (1e-4, 0.999, 0.999),
        ("fp16", "fp32"): (5e-3, 0.995, 0.999),
        ("fp16", "fp16"): (5e-3, 0.995, 0.999),
        ("fp16", "bf16"): (2e-2, 0.995, 0.999),
    }
    for key, limits in LIMITS.items():  # an export that is written may not be outside them as to classes
        assert tolerance_of(*key, "probabilities").absolute_error == limits.class_error


GOOD = Figures(
    images=0, accuracy=None, f1=None, auc=None, compared=2000, clear=1000, same_class=999, class_error=1e-4,
    original_dice=0.999, smallest_dice=0.1, mask_error=0.5, truth=None,
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"same_class": 998}, r"998 of 1000 images \(99\.80 %\) where 99\.9 % are demanded"),
        ({"class_error": 1.1e-4}, r"off by 0\.00011 where 0\.0001 is allowed"),
        ({"class_error": float("nan")}, "off by nan"),
        ({"original_dice": 0.9989}, r"Dice of 0\.99890 where 0\.999 is demanded"),
        ({"clear": 0, "same_class": 0}, "no image whose class is clear"),
        ({"original_dice": None}, "no pixel in any mask"),
        ({"clear": None, "same_class": None, "class_error": None}, None),
        ({"original_dice": None, "smallest_dice": None, "mask_error": None}, None),
    ],
)
def test_what_breaks_a_limit(change, said):
    found = broken(replace(GOOD, **change), Limits(class_error=1e-4, dice=0.999))
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0])


def spoilt(file: Path, target: Path, name: str, factor: float) -> Path:
    """A copy of an exported file, sealed as if it were whole, in which one tensor is another."""
    document = read_model_file(file).document
    model = onnx.load(file)
    del model.metadata_props[:]
    (tensor,) = (one for one in model.graph.initializer if one.name == name)
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array((values * factor).astype(values.dtype), name))
    target.write_bytes(seal(model.SerializeToString(), document))
    return target


def test_a_file_that_answers_otherwise_ends_with_status_1(measured, files, heads, pictures, tmp_path):
    data = ("--data", pictures / "classes", "--masks", pictures / "lesions", *SPLIT_OPTIONS)
    named = [part for head in heads for part in ("--weights", head)]
    one = spoilt(files[0], tmp_path / "classes.onnx", "head.weight", 1.01)
    other = spoilt(files[1], tmp_path / "masks.onnx", "segment_head.leave.bias", -3.0)
    ended = measured("--model", one, "-m", other, *data, *named, "-o", tmp_path / "out.json")
    assert ended.status == 1
    (line,) = (line for line in ended.err.splitlines() if line.startswith("error: "))
    assert "classes.onnx in onnxruntime" in line
    assert "a probability off by" in line
    assert "where 0.0001 is allowed" in line
    assert "masks.onnx in openvino" in line
    assert "where 0.995 is demanded" in line
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))  # what was found is kept all the same
    assert [bool(row["broken"]) for row in written["rows"]] == [False] + [True] * (len(written["rows"]) - 1)


def test_the_command_prints_one_table_and_writes_every_image(measured, files, heads, pictures, tmp_path):
    ended = measured(
        "--model", files[0], "--data", pictures / "classes", "--masks", pictures / "lesions",
        "--further", pictures / "other", "--weights", heads[1], "--weights", heads[0], *SPLIT_OPTIONS,
        "--threads", "1", "-o", tmp_path / "out.json",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    assert "classes  24 test images of classes" in ended.out
    assert "further  3 images of other" in ended.out
    for word in ("recorded", "original", "fp32.onnx", "onnxruntime", "openvino"):
        assert word in ended.out, word
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert written["recorded"]["accuracy"] == 0.333
    assert written["recorded"]["dice_all"] == 0.1
    assert written["segmenter"]["threshold"] == 0.5
    assert [sample["images"] for sample in written["samples"]] == [24, 8, 3]
    for row in written["rows"]:
        assert row["compared"] == len(row["per_image"]) == 35
        right = [np.argmax(one["logits"]) == CLASSES.index(one["label"]) for one in row["per_image"][:24]]
        assert row["accuracy"] == pytest.approx(np.mean(right))
        assert row["class_error"] == max(one["class_error"] for one in row["per_image"])
        assert all((one["dice"] is None) == (one["sample"] != "masks") for one in row["per_image"])
    assert written["rows"][0]["file"] is None
    assert written["rows"][1]["provenance"]["model_sha256"] == read_model_file(files[0]).sha256


def test_a_table_of_one_head_alone(files, heads, masked, labelled):
    original, infos = common_original(files[:1], heads)
    contestants = [the_original(original, infos[0]), *contestants_of(files[0], "fp32")]
    rows = compared(contestants, [masked], infos[0])
    assert rows[1].figures.accuracy is None
    assert rows[1].figures.truth is not None
    assert rows[1].figures.clear is not None  # the classifier answers for these images too
    assert document_of(rows, [masked], infos[0], SPLIT)["rows"][1]["truth"]["all"]["images"] == 8
    assert len(table_of(rows, infos[0]).rows) == len(rows) + 1
    rows = compared(contestants, [labelled], infos[0])
    assert rows[1].figures.truth is None
    assert rows[1].figures.accuracy is not None


# What is refused


def test_files_without_heads_or_of_several_originals(measured, files, toy_fp16, toy_tasks, tmp_path):
    assert "toy-fp16.onnx has no head" in measured("-m", toy_fp16, "--data", tmp_path, refuse=True)
    found = measured("-m", files[0], "-m", toy_tasks, "--data", tmp_path, refuse=True)
    assert "were made from different originals: measure each on its own" in found
    assert "there is no file" in measured("-m", tmp_path / "absent.onnx", "--data", tmp_path, refuse=True)


def test_images_that_are_of_no_use(measured, files, heads, pictures, tmp_path, png):
    given = ("-m", files[0], "--weights", heads[0], "--weights", heads[1])
    assert "no held-out images were given" in measured(*given, refuse=True)
    assert "no held-out images were given" in measured(*given, "--further", pictures / "other", refuse=True)
    assert "name each with --weights" in measured("-m", files[0], "--data", pictures / "classes", refuse=True)
    for name in ("benign", "cyst"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.png").write_bytes(png(len(name)))
    found = measured(*given, "--data", tmp_path / "set", refuse=True)
    assert "the images have the label cyst, and the file knows benign, malignant, normal" in found
    found = measured(*given, "--data", pictures / "classes", "--fractions", "0.8,0.2,0", refuse=True)
    assert "none of the 60 labelled images is in the test split" in found
    found = measured(*given, "--data", pictures / "classes", "-o", tmp_path / "absent" / "out.json", refuse=True)
    assert "does not exist" in found


def test_a_precision_without_limits(tmp_path):
    with pytest.raises(InputError, match=r"of the precision int4, for which there are no limits here"):
        contestants_of(tmp_path / "int4.onnx", "int4")


def test_images_for_a_head_that_is_not_there(files):
    info = recorded_info(files[0])
    with pytest.raises(InputError, match=r"--data was given, and the task 'segment' of the file has no classes"):
        task_accuracy.samples_for(replace(info, task="segment", classifier=None), ["d"], [], [], SPLIT)
    with pytest.raises(InputError, match=r"--masks was given, and the task 'classify' of the file has no mask"):
        task_accuracy.samples_for(replace(info, task="classify", segmenter=None), [], ["d"], [], SPLIT)


# The bundled heads


def test_the_bundled_heads_are_as_good_as_their_trainings_recorded(data_dir):
    """So the held-out images are those of their trainings: on others the figures would be others."""
    from radiodino.export.original import load_original
    from radiodino.runtime.variants import get_variant

    settings = ExportSettings(get_variant("tiny"), "demo", task="classify+segment")
    original = load_original(settings)
    info = replace(
        recorded_info(Path(__file__).parent / "data" / "toy-tasks.onnx"),
        image_size=original.image_size,
        preprocessing=Preprocessing(resize=(original.image_size, original.image_size)),
        classifier=original.classifier_info,
        segmenter=original.segmenter_info,
    )
    split = SplitSettings(group=r"([a-z]+_[0-9]+)\.(?:jpg|png)$")
    masked = masked_sample([str(data_dir / "busi_seg.zip")], original.image_size, split)
    (row,) = compared([the_original(original, info)], [masked], info)
    wanted = recorded(info)
    assert row.figures.truth["lesions"]["images"] == 13
    assert row.figures.truth["lesions"]["dice"] == pytest.approx(wanted["dice"], abs=2e-3)
    assert row.figures.truth["all"]["iou"] == pytest.approx(wanted["iou_all"], abs=2e-3)
