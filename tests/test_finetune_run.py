from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("timm")
pytest.importorskip("torchvision")
pytest.importorskip("yaml")
pytest.importorskip("lightning_fabric")
pytest.importorskip("sklearn")
pytest.importorskip("scipy")
torch = pytest.importorskip("torch")

from radiodino.runtime.errors import InputError, OutputError  # noqa: E402
from radiodino.runtime.model_info import Preprocessing  # noqa: E402
from radiodino.runtime.preprocessing import Preprocessor  # noqa: E402
from radiodino.runtime.variants import VARIANTS  # noqa: E402
from radiodino.train.classify.calibration import probabilities  # noqa: E402
from radiodino.train.classify.checkpoint import load_classifier  # noqa: E402
from radiodino.train.classify.recipe import preset, set_entries  # noqa: E402
from radiodino.train.classify.run import finetune  # noqa: E402
from radiodino.train.cli import main  # noqa: E402
from radiodino.train.data.splits import SplitSettings  # noqa: E402
from radiodino.train.evaluate.metrics import classification_metrics  # noqa: E402
from radiodino.train.weights.load import load_weights  # noqa: E402

SETTINGS = ["image_size=32", "batch_size=16", "folds=2", "epochs=5", "warmup_epochs=1", "learning_rate=3e-3",
            "precision=32-true"]  # fmt: skip
CPU = ("--accelerator", "cpu")


@pytest.fixture(scope="module", autouse=True)
def _known(toy):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "toy", toy)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Dark and bright images, a folder each, and a file that is no image."""
    folder = tmp_path_factory.mktemp("images") / "scans"
    random = np.random.default_rng(0)
    for name, level in (("dark", 60), ("bright", 190)):
        (folder / name).mkdir(parents=True)
        for index in range(25):
            pixels = level + random.integers(-50, 51, (40, 36))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:02d}.png")
    (folder / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def run(data, out, *settings, frozen=False, said=None, **options):
    recipe = set_entries(preset("toy", freeze_backbone=frozen), [*SETTINGS, *settings])
    return finetune(
        recipe, [str(data)], out, weights=options.pop("weights", "random"), accelerator="cpu",
        cache=data.parent / "cache", say=(said if said is not None else []).append, **options,
    )  # fmt: skip


def arguments(data, out, *settings):
    options = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return ["finetune", "--data", data, "--out", out, "--variant", "toy", "--weights", "random", "--cache",
            data.parent / "cache", *CPU, *options]  # fmt: skip


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """A run of two folds, what it said, and its folder."""
    out, said = tmp_path_factory.mktemp("run") / "out", []
    found = run(data, out, references={"accuracy": 0.5}, said=said)
    return found, said, out


def outcome(out):
    return json.loads((out / "finetune.json").read_text())


# --- what comes of it


def test_the_results_are_those_of_the_folds(done):
    found, _, out = done
    written = outcome(out)
    assert written["task"] == "finetune"
    folds = written["results"]["folds"]
    assert [fold["fold"] for fold in folds] == [1, 2]
    accuracies = [fold["accuracy"] for fold in folds]
    assert min(accuracies) > 0.9
    assert written["results"]["metrics"]["accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert written["results"]["metrics"]["accuracy"]["sd"] == pytest.approx(np.std(accuracies, ddof=1))
    assert written["results"]["t_tests"]["accuracy"]["reference"] == 0.5
    assert written["settings"]["recipe"]["epochs"] == 5
    assert written["settings"]["weights"]["kind"] == "random"
    assert written["data"]["class_counts"]["test"] == {"bright": 5, "dark": 5}
    assert len(written["data"]["unreadable"]) == 1
    assert (out / "finetune.md").read_text().strip() == found.table.strip()
    assert found.outcome == out / "finetune.json"
    assert found.is_first


def test_it_says_what_a_user_must_know(done):
    _, said, _ = done
    assert said[0].startswith("device   cpu")
    assert any(line.startswith("WARNING  random weights") for line in said)
    assert any("broken.png" in line for line in said)


def test_every_image_is_written_down(done, data):
    with (done[2] / "images.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 50
    for row in rows:
        assert row["class"] in row["name"]
        assert (row["fold"] == "") == (row["split"] == "test")
    validated = [row["fold"] for row in rows if row["fold"]]
    assert validated.count("1") == validated.count("2") == 20


def test_the_best_fold_is_the_classifier(done):
    found, _, out = done
    losses = [fold["val_loss"] for fold in outcome(out)["results"]["folds"]]
    best = out / f"fold-{1 + int(np.argmin(losses))}" / "classifier.pth"
    assert found.checkpoint == out / "classifier.pth"
    assert found.checkpoint.read_bytes() == best.read_bytes()
    assert sorted(path.name for path in best.parent.iterdir()) == ["classifier.pth", "log.csv"]


def test_the_document_says_what_an_export_needs(done, data):
    _, _, out = done
    classifier, document = load_classifier(out)
    assert document["classes"] == ["bright", "dark"]
    assert (document["variant"], document["image_size"], document["seed"]) == ("toy", 32, 0)
    assert document["preprocessing"] == json.loads(json.dumps(vars(Preprocessing(resize=(32, 32)))))
    training = document["training_set"]
    assert training["name"] == "scans"
    assert str(data.parent) not in json.dumps(document)  # a file that is passed on names no folders of this machine
    assert training["images"] == {"train": 20, "val": 20, "test": 10}
    assert training["class_counts"]["val"] == {"bright": 10, "dark": 10}
    assert training["unreadable"] == 1
    assert "seeded and stratified" in training["split"]
    assert document["weights"]["kind"] == "random"
    assert len(document["weights"]["sha256"]) == 64
    assert json.loads(json.dumps(document, allow_nan=False)) == document

    # Test metrics, temperature and threshold, computed again from the file alone with the runtime's preprocessing.
    with (out / "images.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    preprocess = Preprocessor(Preprocessing(resize=(32, 32)))

    def logits(chosen):
        images = [preprocess(Image.open(row["name"])) for row in chosen]
        with torch.inference_mode():
            return classifier(torch.from_numpy(np.stack(images))).numpy()

    def targets(chosen):
        return np.array([document["classes"].index(row["class"]) for row in chosen])

    test = [row for row in rows if row["split"] == "test"]
    scores = logits(test)
    metrics = classification_metrics(targets(test), scores.argmax(axis=1), probabilities(scores))
    assert metrics == pytest.approx(document["metrics"])
    val = [row for row in rows if row["fold"] == str(document["fold"])]
    dark = probabilities(logits(val), document["temperature"])[:, 1]
    assert list(document["thresholds"]) == ["dark"]
    called = dark >= document["thresholds"]["dark"]
    assert np.array_equal(called, targets(val) == 1)  # these can be told apart without a mistake
    assert 0.05 <= document["temperature"] <= 20


def test_a_run_is_a_backbone_for_the_other_commands(done, toy):
    backbone, source = load_weights(toy, str(done[2]), image_size=32)
    classifier, _ = load_classifier(done[2] / "classifier.pth")
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(value, backbone.state_dict()[name])
    assert "without head" in source.detail


def test_a_frozen_backbone_does_not_change(data, tmp_path, toy):
    said = []
    run(data, tmp_path / "out", "epochs=40", "learning_rate=1e-2", "warmup_epochs=0", frozen=True, said=said)
    assert any("without augmentation" in line for line in said)
    before, _ = load_weights(toy, "random", image_size=32)
    for fold in (1, 2):
        classifier, document = load_classifier(tmp_path / "out" / f"fold-{fold}")
        for name, value in classifier.backbone.state_dict().items():
            assert torch.equal(value, before.state_dict()[name]), name
        assert document["metrics"]["accuracy"] > 0.9
        assert document["recipe"]["freeze_backbone"]
    first, second = (load_classifier(tmp_path / "out" / f"fold-{fold}")[0].head.weight for fold in (1, 2))
    assert not torch.equal(first, second)


def test_one_fold_trains_on_train_and_validates_on_val(data, tmp_path):
    found = run(data, tmp_path / "out", "folds=1", "epochs=2", "augment=none")
    _, document = load_classifier(tmp_path / "out")
    assert document["training_set"]["images"] == {"train": 35, "val": 5, "test": 10}
    results = outcome(tmp_path / "out")["results"]
    assert results["metrics"]["accuracy"]["sd"] is None
    assert "±" not in found.table.replace("mean ± sd", "")


def test_more_than_two_classes_have_no_threshold(data, tmp_path):
    folder = tmp_path / "scans"
    for name in ("dark", "bright"):
        (folder / name).mkdir(parents=True)
        for path in sorted((data / name).glob("0*.png")):
            (folder / name / path.name).write_bytes(path.read_bytes())
    (folder / "grey").mkdir()
    for index in range(10):
        Image.new("L", (32, 32), 100 + index).save(folder / "grey" / f"{index}.png")
    run(folder, tmp_path / "out", "epochs=2")
    _, document = load_classifier(tmp_path / "out")
    assert document["classes"] == ["bright", "dark", "grey"]
    assert document["thresholds"] is None


# --- going on


def test_an_existing_run_is_kept(done, data):
    with pytest.raises(OutputError, match=r"holds a run already: add --resume"):
        run(data, done[2])


@pytest.mark.parametrize(
    ("settings", "options", "reason"),
    [
        (["epochs=6"], {}, "other settings"),
        ([], {"split": SplitSettings(seed=1)}, "other fractions, split seed or group"),
        (["seed=1"], {}, "other settings"),
    ],
)
def test_another_run_is_not_gone_on_with(done, data, settings, options, reason):
    with pytest.raises(InputError, match=f"was begun with {reason}"):
        run(data, done[2], *settings, resume=True, **options)


def test_other_images_are_not_gone_on_with(done, data, tmp_path):
    known = json.loads((done[2] / "run.json").read_text())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({**known, "images": "0"}))
    with pytest.raises(InputError, match="was begun with other images, classes or splits"):
        run(data, tmp_path / "out", resume=True)


@pytest.mark.parametrize("text", ["{", "3", '"a"', "\xff"])
def test_a_damaged_record_is_named(data, tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"run\.json cannot be read .*choose another --out"):
        run(data, tmp_path, resume=True)


def test_a_folder_that_cannot_be_made_is_named(data, tmp_path):
    with pytest.raises(OutputError, match="cannot make the folder"):
        run(data, data / "dark" / "00.png" / "out")


def test_a_finished_run_is_summarised_again_without_training(done, data):
    before, said = (done[2] / "classifier.pth").read_bytes(), []
    results = outcome(done[2])["results"]
    run(data, done[2], references={"accuracy": 0.5}, resume=True, said=said)
    assert [line for line in said if "finished before" in line] == [f"fold {n}   was finished before" for n in (1, 2)]
    assert (done[2] / "classifier.pth").read_bytes() == before
    assert outcome(done[2])["results"] == results


PAIR = """
import importlib.util, sys
from pathlib import Path
from radiodino.runtime.variants import VARIANTS, Variant
spec = importlib.util.spec_from_file_location("in_a_child", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
number, data, out, port = int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])
"""


def in_pair(toy, data, out, port, settings):
    """Runs `one_of_two` in two processes of their own: one that is forked here could not train where an earlier test
    has begun autograd's threads. Their exit codes, and what they said of errors."""
    script = f"{PAIR}VARIANTS['toy'] = {toy!r}\nmodule.one_of_two(number, data, out, port, {settings!r})\n"
    given = [[sys.executable, "-c", script, __file__, str(number), str(data), str(out), str(port)] for number in (0, 1)]
    children = [subprocess.Popen(one, stderr=subprocess.PIPE, text=True) for one in given]
    errors = [child.communicate(timeout=240)[1] for child in children]
    return [child.returncode for child in children], "\n".join(errors)


ALONE = """
import contextlib, os, signal, sys
from radiodino.runtime import progress
from radiodino.runtime.variants import VARIANTS, Variant
from radiodino.train.cli import main
how = sys.argv.pop(1)
@contextlib.contextmanager
def bar(what):
    def told(done, _total):
        if what == "fold 2 of 2" and done == 4 and how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
    yield told
progress.progress_bar = bar
"""


def alone(toy, how, *typed):
    """The command, begun in a process of its own: in this one other tests may have set how PyTorch computes, and a
    signal may end a process in which OpenVINO has computed in bf16.

    Args:
        toy: the variant.
        how: ``interrupt`` for Ctrl-C in the second epoch of the second fold.
        typed: what stands behind the command.
    """
    script = f"{ALONE}VARIANTS['toy'] = {toy!r}\nmain()\n"
    given = [sys.executable, "-c", script, how, *map(str, typed)]
    return subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """What it printed and its status, once it has ended."""
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_leaves_a_run_that_resumes_exactly(data, tmp_path, toy):
    reference = ["--reference", "accuracy=0.5"]
    beside = alone(toy, "whole", *arguments(data, tmp_path / "whole"), *reference)
    stopped = ended(alone(toy, "interrupt", *arguments(data, tmp_path / "out")))
    assert stopped.returncode == 130, stopped.stderr
    (line,) = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert "interrupted in fold 2, 1 whole epochs of it are kept" in line
    assert "--resume" in line
    assert "Traceback" not in stopped.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "fold-2").iterdir()) == ["log.csv", "training.state"]
    assert not (tmp_path / "out" / "classifier.pth").exists()

    resumed = ended(alone(toy, "resume", *arguments(data, tmp_path / "out"), "--resume", *reference))
    assert resumed.returncode == 0, resumed.stderr
    assert "fold 1   was finished before" in resumed.stderr
    assert f"--weights {tmp_path / 'out' / 'classifier.pth'}" in resumed.stdout
    assert ended(beside).returncode == 0
    for fold in (1, 2):
        found, whole = (load_classifier(tmp_path / out / f"fold-{fold}") for out in ("out", "whole"))
        assert found[1] == whole[1]
        for name, value in whole[0].state_dict().items():
            assert torch.equal(value, found[0].state_dict()[name]), name
    assert outcome(tmp_path / "out")["results"] == outcome(tmp_path / "whole")["results"]


def one_of_two(number, data, out, port, settings):
    """One of two processes as torchrun starts them."""
    os.environ.update(
        RANK=str(number), LOCAL_RANK=str(number), GROUP_RANK="0", WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="test",
    )  # fmt: skip
    said = []
    found = run(data, out, *settings, devices=2, said=said)
    assert found.is_first == bool(said) == (number == 0)


def test_two_processes_equal_one_with_the_same_batch(data, tmp_path, toy):
    settings = ["folds=1", "epochs=2", "batch_size=17"]  # 35 images: the last step takes one, on two processes
    run(data, tmp_path / "one", *settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    statuses, errors = in_pair(toy, data, tmp_path / "two", port, settings)
    assert statuses == [0, 0], errors
    (one, first), (two, second) = (load_classifier(tmp_path / name) for name in ("one", "two"))
    assert second["val_loss"] == pytest.approx(first["val_loss"], rel=1e-4)
    assert second["metrics"] == first["metrics"]
    for name, value in one.state_dict().items():
        if not name.endswith("qkv.bias"):  # the key's has no true gradient: AdamW scales its rounding noise to a step
            assert torch.allclose(value, two.state_dict()[name], atol=1e-4), name


# --- the command


def test_show_prints_the_resolved_recipe(command, tmp_path):
    (tmp_path / "recipe.yaml").write_text("learning_rate: 3e-5\n")
    ended = command(
        main, "finetune", "--show", "--variant", "small", "--config", tmp_path / "recipe.yaml", "--set", "seed=5",
        "--folds", 3,
    )  # fmt: skip
    recipe = json.loads(ended.out)
    assert (recipe["variant"], recipe["learning_rate"], recipe["seed"], recipe["folds"]) == ("small", 3e-5, 5, 3)
    probe = json.loads(command(main, "finetune", "--show", "--freeze-backbone").out)
    assert (probe["freeze_backbone"], probe["augment"], probe["learning_rate"]) == (True, "none", 3e-3)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ([], "--data and the run's folder with --out"),
        (["--data", "none"], "--data and the run's folder with --out"),
        (["--show", "--variant", "huge"], "there is no variant 'huge'"),
        (["--show", "--set", "epoch=3"], "'epoch' is unknown"),
        (["--show", "--config", "none.yaml"], "cannot read the recipe none.yaml"),
        (["--show", "--folds", "0"], "folds must lie between 1"),
        (["--data", "none", "--out", "run", "--weights", "random", *CPU], "none"),
        (["--data", "none", "--out", "run", "--reference", "f2=0.5"], "'f2=0.5' is no reference"),
        (["--data", "none", "--out", "run", "--fractions", "0.5,0.5"], "three shares"),
        (["--data", "none", "--out", "run", "--weights", "gone.pth", *CPU], "gone.pth"),
        (["--data", "none", "--out", "run", "--folds", "1", "--reference", "auc=0.5", *CPU], "at least 2 folds"),
        (["--data", "none", "--out", "run", "--weights", "random", "--accelerator", "abacus"], "abacus"),
    ],
)
def test_errors_are_one_sentence(refused, here, typed, sentence):
    assert sentence in refused(main, "finetune", *typed)
    assert not (here / "run" / "run.json").exists()


def test_an_auc_that_cannot_be_is_not_tested(data, tmp_path):
    manifest = tmp_path / "set.csv"
    rows = [f"{data / name / f'{index:02d}.png'},{name},{'test' if name == 'dark' and index < 5 else 'train'}"
            for name in ("dark", "bright") for index in range(20)]  # fmt: skip
    manifest.write_text("\n".join(["path,label,split", *rows]))
    with pytest.raises(InputError, match="no test image is of the class 'bright'"):
        run(manifest, tmp_path / "out", references={"auc": 0.5})
