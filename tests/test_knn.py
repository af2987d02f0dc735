from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
sklearn_neighbors = pytest.importorskip("sklearn.neighbors")

from radiodino.runtime.errors import InputError, WeightsError  # noqa: E402
from radiodino.train.cli import main  # noqa: E402
from radiodino.train.data.labelled import labelled_images  # noqa: E402
from radiodino.train.features.extract import extract_features  # noqa: E402
from radiodino.train.features.pixels import PixelSource  # noqa: E402
from radiodino.train.knn.classify import knn_classify  # noqa: E402
from radiodino.train.knn.scores import score  # noqa: E402
from radiodino.train.knn.task import TaskSettings, load_task  # noqa: E402

KS = (1, 5, 20)


def features(count, size=16, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def classes_of(count, classes=4, seed=0):
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


def oracle(gallery, labels, queries, k, classes, temperature=0.07):
    """Slowly, in plain Python: predictions and shares of the votes."""

    def unit(row):
        length = math.sqrt(math.fsum(value * value for value in row))
        return [value / length for value in row] if length else row

    gallery, queries = ([unit(row) for row in one.tolist()] for one in (gallery, queries))
    predictions, scores = [], []
    for query in queries:
        similarities = [math.fsum(a * b for a, b in zip(row, query, strict=True)) for row in gallery]
        nearest = sorted(range(len(gallery)), key=lambda index: (-similarities[index], index))[:k]
        votes = [0.0] * classes
        for index in nearest:
            votes[labels[index]] += math.exp(similarities[index] / temperature)
        predictions.append(votes.index(max(votes)))
        scores.append([vote / sum(votes) for vote in votes])
    return predictions, scores


@pytest.mark.parametrize("count", [1, 7, 99, 101])
def test_any_number_of_queries_agrees_with_a_slow_oracle(count):
    gallery, labels, queries = features(150), classes_of(150), features(count, seed=1)
    found = knn_classify(gallery, labels, queries, KS, classes=4)
    for k in KS:
        predictions, scores = oracle(gallery, labels, queries, k, 4)
        assert found.predictions[k].tolist() == predictions
        np.testing.assert_allclose(found.scores[k].numpy(), scores, rtol=1e-6, atol=1e-7)
        assert found.scores[k].dtype == torch.float32


@pytest.mark.parametrize(("query_chunk", "gallery_chunk"), [(1, 13), (7, 3), (1000, 149), (50, 150), (3, 8192)])
def test_chunks_change_nothing(query_chunk, gallery_chunk):
    gallery, labels, queries = features(150), classes_of(150), features(101, seed=1)
    gallery[::7] = gallery[3]  # copies, whose order is decided by their index
    whole = knn_classify(gallery, labels, queries, KS, classes=4)
    cut = knn_classify(
        gallery, labels, queries, KS, classes=4, query_chunk=query_chunk, gallery_chunk=gallery_chunk
    )  # fmt: skip
    for k in KS:
        assert torch.equal(cut.predictions[k], whole.predictions[k])
        assert torch.equal(cut.scores[k], whole.scores[k])


def test_votes_are_those_of_the_official_formula_in_float32():
    gallery, labels, queries = features(300, 32), classes_of(300), features(40, 32, seed=1)
    found = knn_classify(gallery, labels, queries, KS, classes=4)
    similarities = torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(gallery).T
    for k in KS:
        near, indices = similarities.topk(k)
        votes = (torch.nn.functional.one_hot(labels[indices], 4) * (near / 0.07).exp()[..., None]).sum(dim=1)
        assert torch.equal(found.predictions[k], votes.argmax(dim=1))
        torch.testing.assert_close(found.scores[k], votes / votes.sum(dim=1, keepdim=True), rtol=1e-5, atol=1e-8)


DIRECTIONS = [(1, 0), (0, 1), (-1, 0), (0, -1), (0, 0)]
"""Their similarities are 1, 0 and −1 exactly, and 0 for the vector that has no direction."""


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(DIRECTIONS), st.integers(1, 3), st.integers(0, 2)), min_size=3, max_size=60
    ),
    st.lists(st.sampled_from(DIRECTIONS), min_size=1, max_size=5),
    st.integers(1, 3),
    st.integers(1, 70),
)  # fmt: skip
def test_ties_opposites_and_zeros_are_ranked_as_documented(images, queries, k, chunk):
    gallery = torch.tensor([[length * axis for axis in direction] for direction, length, _ in images]).float()
    labels = torch.tensor([label for _, _, label in images])
    asked = torch.tensor(queries).float()
    found = knn_classify(gallery, labels, asked, [k], classes=3, gallery_chunk=chunk)
    predictions, scores = oracle(gallery, labels, asked, k, 3)
    assert found.predictions[k].tolist() == predictions
    np.testing.assert_allclose(found.scores[k].numpy(), scores, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("copies", [2, 60, 3000])
def test_of_copies_the_one_with_the_lower_index_is_nearer(copies):
    """Even of many more than are ranked in float64, and across chunks of the gallery."""
    copy = features(1, 33)
    gallery = torch.cat([features(5, 33, seed=2), copy.repeat(copies, 1)])
    labels = torch.arange(len(gallery)) % 3
    for chunk in (7, 100, 8192):
        found = knn_classify(gallery, labels, copy.repeat(4, 1), [1, 2], classes=3, gallery_chunk=chunk)
        assert found.predictions[1].tolist() == [5 % 3] * 4
        assert found.predictions[2].tolist() == [0] * 4  # classes 2 and 0 have one vote each
        assert found.scores[2][0].tolist() == [0.5, 0, 0.5]


def test_the_temperature():
    gallery, labels, queries = features(60), classes_of(60), features(30, seed=1)
    found = {
        t: knn_classify(gallery, labels, queries, [1, 9], classes=4, temperature=t) for t in (1e-9, 0.07, math.inf)
    }
    for one in found.values():  # one vote decides, whatever its weight
        assert torch.equal(one.predictions[1], found[0.07].predictions[1])
        assert torch.isfinite(one.scores[9]).all()
    assert torch.equal(found[1e-9].predictions[9], found[1e-9].predictions[1])  # the nearest outweighs all
    assert torch.equal((found[math.inf].scores[9] * 9).round(), found[math.inf].scores[9] * 9)  # plain counts


def test_progress_order_of_ks_and_inputs(tmp_path):
    gallery, labels, queries = features(30), classes_of(30), features(10, seed=1)
    kept = gallery.clone(), queries.clone()
    told = []
    found = knn_classify(
        gallery, labels, queries, [5, 1], classes=4, query_chunk=4, progress=lambda *done: told.append(done)
    )
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert list(found.predictions) == [5, 1]
    assert torch.equal(gallery, kept[0])
    assert torch.equal(queries, kept[1])
    assert knn_classify(gallery, labels, queries[:0], [1], classes=4).predictions[1].shape == (0,)
    half = knn_classify(gallery.double(), labels, queries.double(), [5], classes=4)
    assert torch.equal(half.predictions[5], found.predictions[5])


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        ({"ks": [1, 31]}, InputError, "k = 31 asks for more neighbours than the 30 images of the gallery"),
        ({"ks": [0]}, InputError, "k must be at least 1, found 0"),
        ({"ks": []}, InputError, "k must be at least 1, found none"),
        ({"classes": 3}, InputError, "labels must lie from 0 to 2, found 0 to 3"),
        ({"labels": classes_of(29)}, InputError, "int64 labels of the 30 gallery images"),
        ({"labels": classes_of(30).int()}, InputError, "int64 labels"),
        ({"queries": features(3, 8)}, InputError, r"found \(30, 16\) and \(3, 8\)"),
        ({"queries": features(3)[0]}, InputError, "expected features"),
        ({"queries": torch.full((3, 16), torch.nan)}, WeightsError, "NaN or infinite"),
        ({"gallery": torch.full((30, 16), torch.inf)}, WeightsError, "NaN or infinite"),
        ({"temperature": 0.0}, InputError, "temperature must be above 0, not 0"),
        ({"temperature": math.nan}, InputError, "temperature must be above 0"),
        ({"query_chunk": 0}, InputError, "at least 1 image"),
        ({"gallery_chunk": 0}, InputError, "at least 1 image"),
    ],
)
def test_what_does_not_fit_is_refused(changes, kind, sentence):
    given = {
        "gallery": features(30),
        "labels": classes_of(30),
        "queries": features(3),
        "ks": [1],
        "classes": 4,
        **changes,
    }
    positional = [given.pop(name) for name in ("gallery", "labels", "queries", "ks")]
    with pytest.raises(kind, match=sentence):
        knn_classify(*positional, **given)


def test_scores_by_class():
    found = score(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), ["a", "b", "c"])
    assert found["accuracy"] == 0.75
    assert found["recall"] == 0.75
    assert found["per_class_recall"] == {"a": 0.5, "b": 1.0, "c": None}


# --- gallery and queries ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty images of two classes that differ in their brightness, and noise."""
    place = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for label, (low, high) in {"dark": (0, 60), "light": (150, 256)}.items():
        (place / "set" / label).mkdir(parents=True)
        for index in range(20):
            ramp = np.linspace(low, high - 1, 20)[:, None] if label == "light" else np.full((20, 1), low)
            pixels = (ramp + random.integers(0, 20, (20, 20))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "set" / label / f"{index}.png")
    return place / "set"


def test_splits_become_gallery_and_queries(folder):
    task = load_task(TaskSettings(data=(str(folder),), gallery=("train", "val")), 16)
    assert task.classes == ("dark", "light")
    assert set(task.gallery.splits) == {"train", "val"}
    assert set(task.queries.splits) == {"test"}
    assert len(task.gallery.indices) + len(task.queries.indices) == 40
    assert not set(task.gallery.names()) & set(task.queries.names())
    told = task.describe()
    assert told["gallery"]["images"] == 32
    assert told["queries"]["per_class"] == {"dark": 4, "light": 4}
    assert "seed 0" in told["origin"]


def test_gallery_and_queries_of_their_own(folder, tmp_path):
    for label in ("light", "dark"):
        (tmp_path / "other" / label).mkdir(parents=True)
        Image.new("L", (9, 9), 200 if label == "light" else 3).save(tmp_path / "other" / label / "1.png")
    settings_ = TaskSettings(gallery_data=(str(folder),), query_data=(str(tmp_path / "other"),))
    task = load_task(settings_, 16)
    assert len(task.gallery.indices) == 40
    assert set(task.queries.splits) == {"queries"}
    assert Counter(task.queries.targets.tolist()) == {0: 1, 1: 1}
    assert task.origin == "gallery and queries were given separately"

    (tmp_path / "other" / "grey").mkdir()
    Image.new("L", (9, 9), 99).save(tmp_path / "other" / "grey" / "1.png")
    with pytest.raises(InputError, match="the queries have the class 'grey', which the gallery"):
        load_task(settings_, 16)
    with pytest.raises(InputError, match="39 more images are both in the gallery and among the queries"):
        load_task(TaskSettings(gallery_data=(str(folder),), query_data=(str(folder),)), 16)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": ()}, "name the images with --data, or"),
        ({"gallery_data": ("a",)}, "name the images with --data, or"),
        ({"data": (), "gallery_data": ("a",)}, "name the images with --data, or"),
        ({"queries": ("tests",)}, "no split 'tests': choose from train, val, test"),
        ({"queries": ("train",)}, "the split 'train' is both gallery and queries"),
        ({"fractions": (1.0, 0.0, 0.0)}, "no images in the split test"),
        ({"queries": ()}, "no images in the split"),
    ],
)
def test_impossible_tasks_are_refused(folder, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        load_task(TaskSettings(**{"data": (str(folder),), **changes}), 16)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_compares_sources_in_one_table(command, folder, toy_fp32, tmp_path):
    ended = command(
        main, "knn", "--data", folder, "--k", "5,1", "--weights", "pixels:8", "--weights", toy_fp32, "--out",
        tmp_path / "out", "--accelerator", "cpu",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    document = json.loads((tmp_path / "out" / "knn.json").read_text())
    rows = document["results"]["rows"]
    assert [(row["image_size"], row["k"]) for row in rows] == [(8, 1), (8, 5), (64, 1), (64, 5)]
    assert rows[0]["accuracy"] == 1.0
    assert rows[0]["per_class_recall"] == {"dark": 1.0, "light": 1.0}
    assert (rows[0]["gallery"], rows[0]["queries"]) == (28, 8)
    assert rows[2]["source"]["kind"] == "exported"
    assert document["settings"]["k"] == [5, 1]
    assert document["settings"]["fractions"] == [0.7, 0.1, 0.2]
    assert document["data"]["unreadable"] == {}
    assert document["data"]["notes"] == []
    table = (tmp_path / "out" / "knn.md").read_text()
    assert table.strip() in ended.out
    assert "| raw 8×8 pixels" in table
    assert "100.00" in table
    assert "WARNING  random weights" in ended.err
    assert "on cpu" in ended.err


def test_images_that_cannot_be_read_are_counted_and_named(command, folder, tmp_path):
    (tmp_path / "more" / "dark").mkdir(parents=True)
    (tmp_path / "more" / "dark" / "broken.png").write_bytes(b"no picture")
    ended = command(
        main, "knn", "--data", folder, "--data", tmp_path / "more", "--weights", "pixels:4", "--out", tmp_path
    )
    assert ended.status == 0, ended.err
    data = json.loads((tmp_path / "knn.json").read_text())["data"]
    assert [name.rpartition("/")[2] for name in data["unreadable"]] == ["broken.png"]
    assert [note for note in data["notes"] if "broken.png" in note and f"note     {note}" in ended.err]


def test_the_command_keeps_features(command, folder, tmp_path):
    ended = command(
        main, "knn", "--data", folder, "--k", 1, "--weights", "random", "--image-size", 16, "--accelerator", "cpu",
        "--out", tmp_path, "--features-out", tmp_path / "f.npz", "--temperature", "inf",
    )  # fmt: skip
    assert ended.status == 0, ended.err
    with np.load(tmp_path / "f.npz") as kept:
        assert kept["embeddings"].shape == (36, 192)
        assert Counter(kept["splits"].tolist()) == {"train": 28, "test": 8}
        assert all(f"/{label}/" in name for name, label in zip(kept["filenames"], kept["labels"], strict=True))
        assert json.loads(str(kept["provenance"]))["kind"] == "random"
        gallery = kept["splits"] == "train"
        model = sklearn_neighbors.KNeighborsClassifier(1, metric="cosine")
        model.fit(kept["embeddings"][gallery], kept["labels"][gallery])
        accuracy = model.score(kept["embeddings"][~gallery], kept["labels"][~gallery])
    document = json.loads((tmp_path / "knn.json").read_text())
    assert document["results"]["rows"][0]["accuracy"] == pytest.approx(accuracy)
    assert document["settings"]["temperature"] == "inf"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--weights", "pixels:8", "--k", "1,99"], "k = 99 asks for more neighbours than the 28 images"),
        (["--weights", "pixels:8", "--k", "one"], "--k takes whole numbers"),
        (["--weights", "pixels:8", "--fractions", "1"], "--fractions takes three shares"),
        (["--weights", "pixels:8", "--weights", "pixels:9", "--features-out", "f.npz"], "--features-out keeps"),
        (["--weights", "pixels:8", "--features-out", "f.txt"], "must end in .npz"),
        (["--weights", "random", "--weights", "pixels:8", "--image-size", "16"], "of 8 px alone and 16 px"),
        (["--weights", "pixels:8", "--gallery", "trian"], "no split 'trian'"),
        (["--weights", "pixels:8", "--accelerator", "tpu"], "no accelerator 'tpu'"),
        (["--weights", "pixels:8", "--pretrained"], "--pretrained is for"),
        (["--weights", "none.pth"], "no file or folder none.pth"),
        (["--weights", "random", "--image-size", "20"], "image size 20 is not a multiple of the patch"),
    ],
)
def test_the_commands_errors_are_one_sentence(refused, folder, here, arguments, sentence):
    assert sentence in refused(main, "knn", "--data", folder, "--out", here / "out", *arguments)
    assert not (here / "out" / "knn.json").exists()


def test_an_interrupt_ends_cleanly(command, folder, tmp_path, monkeypatch):
    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("radiodino.train.knn.run.extract_features", interrupted)
    ended = command(main, "knn", "--data", folder, "--weights", "pixels:8", "--out", tmp_path)
    assert ended.status == 130
    assert "error: interrupted" in ended.err
    assert not (tmp_path / "knn.json").exists()


def test_one_nearest_neighbour_on_real_images_is_that_of_scikit_learn(data_dir, tmp_path):
    import zipfile

    with zipfile.ZipFile(data_dir / "busi_256.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith((".jpg", ".jpeg", ".png")))
        archive.extractall(tmp_path, names[::8])
    found = labelled_images([str(tmp_path)], 32)
    pixels = extract_features(PixelSource(32), found.images)
    train, test = found.where("train", "val"), found.where("test")
    expected = sklearn_neighbors.KNeighborsClassifier(1, metric="cosine", algorithm="brute")
    expected.fit(pixels[train], found.targets[train])
    ours = knn_classify(
        torch.from_numpy(pixels[train]), torch.from_numpy(found.targets[train]), torch.from_numpy(pixels[test]), [1],
        classes=len(found.classes),
    )  # fmt: skip
    assert len(test) >= 10
    assert ours.predictions[1].tolist() == expected.predict(pixels[test]).tolist()
